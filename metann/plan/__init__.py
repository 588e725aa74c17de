"""Planning past one machine: the graph of a run, its schedule on any number of devices, and what that costs. Pure arithmetic."""

from metann.plan.forecast import Forecast, Interruptions, disturbed_seconds, forecast
from metann.plan.graph import Times, run_jobs
from metann.plan.scheduling import Job, Schedule, on_fewer, schedule, tails, useful_devices

__all__ = [
    "Forecast",
    "Interruptions",
    "Job",
    "Schedule",
    "Times",
    "disturbed_seconds",
    "forecast",
    "on_fewer",
    "run_jobs",
    "schedule",
    "tails",
    "useful_devices",
]
