"""Planning past one machine: the graph of a run, its schedule on any number of devices, and what that costs. Pure arithmetic."""

from metann.registry import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        "Forecast": "metann.plan.forecast",
        "Interruptions": "metann.plan.forecast",
        "Job": "metann.plan.scheduling",
        "Schedule": "metann.plan.scheduling",
        "Times": "metann.plan.graph",
        "disturbed_seconds": "metann.plan.forecast",
        "forecast": "metann.plan.forecast",
        "on_fewer": "metann.plan.scheduling",
        "run_jobs": "metann.plan.graph",
        "schedule": "metann.plan.scheduling",
        "tails": "metann.plan.scheduling",
        "useful_devices": "metann.plan.scheduling",
    },
)
