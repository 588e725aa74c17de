"""The sections of the meta neural network and of its experts."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from metann.config.figures import figures_of
from metann.config.section import Positive, Section
from metann.config.training import Many, Rate, TrainingSection
from metann.function_call import SwitchFunction
from metann.thresholds import expand_thresholds

Thresholds = Annotated[tuple[float, ...], BeforeValidator(expand_thresholds)]


class ExpertSection(TrainingSection):
    """The training of the experts, and what they start from."""

    epochs: Many = 4
    """Passes over the expert's images."""
    learning_rate: Rate = 0.05
    """The peak of the schedule; lower than the switch's, whose weights are refined."""
    start: Literal["switch", "scratch"] = "switch"
    """Fine-tune the switch's weights, or begin anew."""
    sampler: Literal["uniform", "hard"] = "uniform"
    """Hard: draw images by their loss in the previous epoch."""
    train: Literal["all", "head"] = "all"
    """Head: last block and classifier only."""


class MnnEvaluation(Section):
    """How a switch and its experts are evaluated."""

    test_thresholds: Thresholds = expand_thresholds(["0..1 step 0.05", "0.1..0.3 step 0.01"])
    """An expert is asked when the probability for its class reaches this."""
    switch_functions: tuple[str, ...] = (
        "top_k(1)",
        "top_k(2)",
        "top_p(0.90)",
        "margin(0.20)",
        "only_if_unsure(0.50, 2)",
        "contested(0.25)",
        "unsure(0.80)",
        "none",
        "all",
    )
    """Other ways to say which experts are asked."""
    combine: Literal["product", "product_calibrated", "replace"] = "product"
    """How the answers become one: as published, by Bayes' rule, or experts instead of the switch."""
    temperature: Literal["none", "validation"] = "none"
    """Calibrate the switch and the experts on validation first."""

    @field_validator("switch_functions")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(SwitchFunction.parse(text)) for text in given)


class MnnSection(MnnEvaluation):
    """The meta neural network: one switch, one expert per class and dataset threshold."""

    switch: str = "switch"
    """A name of `networks`."""
    controls: tuple[str, ...] = ("longer", "wide")
    """Names of `networks` that are compared at their cost."""
    dataset_thresholds: Thresholds = (0.05, 0.1, 0.2)
    """An expert learns from the images whose probability for its class reaches this."""
    probabilities: Literal["in_sample", "out_of_fold"] = "in_sample"
    """Which probabilities choose the expert sets; out_of_fold: of networks that have not seen the image."""
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """Networks trained for out_of_fold."""
    expert: ExpertSection = ExpertSection()
    """The training of the experts."""
    classes_per_job: Positive = 5
    """Experts trained by one process; changes no result."""
    figures: Annotated[tuple[str, ...], figures_of("mnn")] = (
        "mnn_heatmap",
        "mnn_surface",
        "mnn_test_threshold",
        "mnn_expert_sets",
        "mnn_misclassified",
        "mnn_cost",
    )
    """Files of metann/figures."""
