"""The sections of the meta neural network and of its experts."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from metann import registry
from metann.config.figures import figures_of
from metann.config.network import NetworkSection
from metann.config.section import Positive, Section
from metann.config.training import Many, Rate, TrainingSection
from metann.errors import MetannError, one_of, unknown
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
    body: Literal["switch", "second"] = "switch"
    """Whose weights an expert starts from, and whose trunk a tail stands on: the switch, or the network `mnn.second`."""
    tail: Annotated[int, Field(ge=0, le=1000)] = 0
    """Experts are only what stands behind this block, on the frozen blocks before it; 0: whole networks."""
    views: Annotated[int, Field(ge=1, le=1000)] = 4
    """Of tails: augmented views of every image, whose trunk features are kept in memory."""
    objective: Literal["published", "combined", "residual"] = "published"
    """What an expert learns: its class or not, alone; what the product needs to be right; or the log-odds that the switch lacks."""

    @model_validator(mode="after")
    def _of_tails(self) -> "ExpertSection":
        if self.tail and (self.sampler == "hard" or self.ema or self.compile):
            given = "sampler: hard" if self.sampler == "hard" else "ema" if self.ema else "compile"
            raise MetannError(f"{given} is of whole networks; tails (tail = {self.tail}) know uniform sampling alone: leave it out")
        if self.start == "scratch" and self.body == "second":
            raise MetannError("start: scratch begins anew and takes nothing of a second body; give start: switch, or body: switch")
        return self


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

    @model_validator(mode="after")
    def _something(self) -> "MnnEvaluation":
        if not self.test_thresholds and not self.switch_functions:
            raise MetannError("neither test_thresholds nor switch_functions say which experts are asked; give one of them")
        return self


class MnnSection(MnnEvaluation):
    """The meta neural network: one switch, one expert per class and dataset threshold."""

    switch: str = "switch"
    """A name of `networks`."""
    controls: tuple[str, ...] = ("longer", "wide")
    """Names of `networks` that are compared at their cost."""
    second: str | None = None
    """A name of `networks`: the switch by the same recipe from other random weights, asked when the switch is unsure; left out: none."""
    generic: bool = False
    """Train one expert for all classes, as long as all experts together, and compare with it."""
    longer: str | None = None
    """A name of `networks` that is trained as long as switch and experts together; its own `epochs` are not read. Left out: none."""
    dataset_thresholds: Annotated[Thresholds, Field(min_length=1)] = (0.05, 0.1, 0.2)
    """An expert learns from the images whose probability for its class reaches this."""
    unsure: Annotated[float, Field(gt=0, le=1)] | None = None
    """And, where it is given, whose top probability is below this."""
    probabilities: Literal["in_sample", "out_of_fold"] = "in_sample"
    """Which probabilities choose the expert sets; out_of_fold: of networks that have not seen the image."""
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """Networks trained for out_of_fold."""
    expert: ExpertSection = ExpertSection()
    """The training of the experts."""
    classes_per_job: Positive | Literal["auto"] = 5
    """Experts trained by one process; changes no result. Auto: by how long they take (`metann/plan/grouping.py`)."""
    figures: Annotated[tuple[str, ...], figures_of("mnn")] = (
        "mnn_heatmap",
        "mnn_surface",
        "mnn_test_threshold",
        "mnn_expert_sets",
        "mnn_misclassified",
        "mnn_self_check",
        "mnn_cost",
    )
    """Files of metann/figures."""

    def classes_in_a_job(self, classes: int, auto: int) -> int:
        """Experts that one process trains: of tails all of a dataset threshold, because what their trunk says is computed once.

        Args:
            classes: K.
            auto: what `auto` means.
        """
        return classes if self.expert.tail else min(auto if self.classes_per_job == "auto" else self.classes_per_job, classes)

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the networks that it is compared with at their own cost."""
        return tuple(dict.fromkeys([*self.controls, *([self.longer] if self.longer else [])]))

    def check(self, networks: Mapping[str, NetworkSection]) -> None:
        """Whether the networks that it names are there and fit one another.

        Raises:
            MetannError: naming the key.
        """
        roles = {"switch": self.switch, "second": self.second, "longer": self.longer}
        named = {f"mnn.{role}": name for role, name in roles.items() if name is not None}
        for role, name in [*named.items(), *(("mnn.controls", name) for name in self.controls)]:
            if name not in networks:
                raise unknown(f"network (in {role})", name, networks, "the section `networks`")
        switch = networks[self.switch]
        if switch.imported:
            raise MetannError(f"mnn.switch {self.switch!r} is a table; experts start from its weights: name a network with an architecture")
        if self.second is not None:
            self._check_second(switch, networks[self.second])
        elif self.expert.body == "second":
            raise MetannError("mnn.expert.body is 'second', but mnn.second names no network; add one like the switch and name it there")
        if self.longer is not None and (networks[self.longer].imported or networks[self.longer].weights):
            raise MetannError(f"mnn.longer {self.longer!r} is not trained here, so it cannot be trained longer; name a network that is")
        if self.longer is not None and self.longer in (self.switch, self.second):
            raise MetannError(f"mnn.longer {self.longer!r} is the switch or the second network; add another one like the switch")
        if self.expert.tail:
            self._check_tail(switch)

    def _check_second(self, switch: NetworkSection, second: NetworkSection) -> None:
        if self.second == self.switch:
            raise MetannError(f"mnn.second {self.second!r} is the switch itself; add another network like it")
        mine, theirs = ((network.architecture, network.settings) for network in (switch, second))
        if mine != theirs and self.expert.body == "second":
            raise MetannError(f"mnn.second {self.second!r} is not built like the switch ({theirs}, not {mine}); experts start from it")

    def _check_tail(self, switch: NetworkSection) -> None:
        tail, blocks = self.expert.tail, registry.architecture_blocks(switch.architecture, switch.settings)
        if blocks is None:
            known = [name for name in registry.architectures() if registry.architecture_blocks(name, {}) is not None]
            raise MetannError(f"mnn.expert.tail: {switch.architecture} does not name its blocks; known: {one_of(known)}")
        if tail > blocks:
            raise MetannError(f"mnn.expert.tail {tail}: the switch has {blocks} blocks; give 1 to {blocks}, or 0 for whole networks")
        if self.probabilities == "out_of_fold":
            raise MetannError("tails learn from the switch's answers on augmented views; give probabilities: in_sample, or tail: 0")
