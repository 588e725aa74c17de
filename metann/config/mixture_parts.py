"""The parts of a mixture's configuration: experts, a gate, what is done with its answer, and in which phases all of it is trained.

These are the parts of a setting; `metann.config.mixture_setting` puts them together.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from metann import registry
from metann.config.network import Settings, check_architecture
from metann.config.section import NonNegative, Positive, Section
from metann.config.training import Fraction, Rate
from metann.errors import MetannError, unknown
from metann.function_call import read_call

NOISE = {"none": (), "gaussian": ("deviation",), "gumbel": (), "learned": ()}
TEMPERATURES = {"decay": ("start", "rate", "epoch", "floor"), "blocks": None}
CHANGEABLE = ("gate", "temperature", "noise", "route", "combine", "final_softmax", "loss", "regularisers", "similarity")
Part = Literal["experts", "gate"]
Text = Annotated[str, BeforeValidator(str)]


class ExpertsSection(Section):
    """The experts: networks that see every image that the gate sends them."""

    architecture: str = "fashion_expert"
    """A name of metann/networks, path/to/nets.py:build, or timm/NAME."""
    settings: Settings = {}
    """Of the architecture, such as width."""
    number: Positive = 5
    """How many."""
    each: tuple[Settings, ...] = ()
    """Settings that differ from expert to expert, one entry for each; empty: all alike."""
    tap: Literal["post_act", "pre_act"] = "post_act"
    """What attention compares: the input of the last linear layer, or what stood before its ReLU."""
    class_sets: tuple[tuple[NonNegative, ...], ...] | Literal["even"] = ()
    """Classes of each expert, for the gate `class_sets`; even: in order, in equal shares."""

    @model_validator(mode="after")
    def _consistent(self) -> "ExpertsSection":
        for settings in self.each or ({},):
            check_architecture(self.architecture, self.settings | settings)
        if self.each and len(self.each) != self.number:
            raise MetannError(f"{len(self.each)} settings in `each` for {self.number} experts; give one for each, or none")
        if self.class_sets not in ((), "even") and len(self.class_sets) != self.number:
            raise MetannError(f"{len(self.class_sets)} class sets for {self.number} experts; give one for each, or 'even'")
        return self

    @property
    def alike(self) -> bool:
        """Whether all experts are built the same."""
        return all(settings == self.each[0] for settings in self.each)

    def settings_of(self, expert: int) -> dict[str, Any]:
        """The settings with which one expert is built."""
        return self.settings | (self.each[expert] if self.each else {})

    def sets_of(self, classes: int) -> list[list[int]]:
        """The classes of each expert, in equal shares where it says so; empty without class sets.

        Raises:
            MetannError: a class that no expert has, one that there is not, or experts without classes.
        """
        if self.class_sets == ():
            return []
        if self.class_sets == "even":
            sets = [list(range(e * classes // self.number, (e + 1) * classes // self.number)) for e in range(self.number)]
        else:
            sets = [sorted(set(some)) for some in self.class_sets]
        if missing := sorted(set(range(classes)) - {c for some in sets for c in some}):
            raise MetannError(
                f"class {missing[0]} is in no class set ({len(missing)} of {classes} are in none); each class needs an expert"
            )
        if strange := sorted({c for some in sets for c in some if c >= classes}):
            raise MetannError(f"class {strange[0]} of the class sets is not in 0 .. {classes - 1}")
        if not all(sets):
            raise MetannError(f"expert {sets.index([])} has no classes; {self.number} experts are too many for {classes} classes")
        return sets


class GateSection(Section):
    """Who decides which experts answer."""

    kind: str = "mlp"
    """A function of metann/mixture/gates.py."""
    architecture: str = "fashion_gate"
    """Of the gate's network, a name of metann/networks; its outputs are the experts."""
    settings: Settings = {}
    """Of the architecture, such as width."""
    tap: Literal["post_act", "pre_act"] = "post_act"
    """Which features of the gate attention compares; see experts.tap."""
    scale: Literal["1/sqrt(h)", "learned"] = "1/sqrt(h)"
    """Of attention's scores."""
    detach_taps: bool = False
    """Keep the gate's gradient out of the experts that it looks at."""
    init: Literal["default", "zero_last", "zero_all"] = "default"
    """Begin with an even gate: zeros in its last layer, or in all of it."""
    activation: Literal["softmax", "escort"] = "softmax"
    """From scores to a distribution; escort: shares of the squares."""
    augmented: bool = False
    """Let the gate see the experts' answers beside the image."""

    @model_validator(mode="after")
    def _consistent(self) -> "GateSection":
        if self.kind not in (known := registry.functions("mixture/gates.py")):
            raise unknown("gate", self.kind, known, "metann/mixture/gates.py")
        check_architecture(self.architecture, self.settings)
        if self.augmented and not self.has_network:
            raise MetannError(f"gate {self.kind!r} has no network that could see the answers; use mlp, or augmented: false")
        return self

    def _is(self, list_name: str) -> bool:
        return self.kind in registry.literal("mixture/gates.py", list_name)

    @property
    def has_network(self) -> bool:
        """Whether there is anything to train."""
        return self._is("WITH_NETWORK")

    @property
    def needs_experts(self) -> bool:
        """Whether all experts run before it decides: no computation is saved."""
        return self._is("AFTER_EXPERTS") or self.augmented

    @property
    def needs_labels(self) -> bool:
        """Whether it looks at the true class: nothing that could be used on a new image."""
        return self._is("WITH_LABELS")


class TemperatureSection(Section):
    """What divides the gate's scores: a number, `decay(start, rate, epoch, floor)`, or `blocks(...)` of equally many epochs."""

    gate: Text = "1"
    """For what the gate learns and for all answers."""
    experts: Text | None = None
    """For what the experts learn; null: the gate's."""

    @field_validator("gate", "experts")
    @classmethod
    def _known(cls, text: str | None) -> str | None:
        numbers: tuple[float, ...] = ()
        try:
            numbers = () if text is None else (float(text),)
        except ValueError:
            name, numbers = read_call(text, "temperature", TEMPERATURES)
            numbers = numbers[::3] if name == "decay" else numbers
        if any(not 0 < number < math.inf for number in numbers):
            raise MetannError(f"temperature {text!r} is not above 0, or not finite")
        return text


class RouteSection(Section):
    """Which experts answer, given the gate's distribution."""

    train: str = "soft"
    """In training: soft (all), top_k(k), argmax, sample, em (by gate and likelihood)."""
    eval: str = "soft"
    """In evaluation: the same, without em."""
    renormalise: bool = True
    """Share the whole weight among those that answer; false: each keeps its own."""

    @model_validator(mode="after")
    def _known(self) -> "RouteSection":
        known = registry.functions("mixture/routing.py")
        for text in (self.train, self.eval):
            read_call(text, "routing", known, "metann/mixture/routing.py")
        if self.eval.strip() == "em":
            raise MetannError("routing 'em' looks at the true class and is for training only; evaluate by argmax")
        return self


class SimilaritySection(Section):
    """How far apart two images are, for the regulariser sample_similarity."""

    space: str = "pixel"
    """Pixels, or features: a name of `networks`, or a weights file."""
    normalise: Literal["max", "none"] = "max"
    """Divide by the largest distance of the batch."""


class MixtureTraining(Section):
    """The training of a mixture: one optimizer and one weight decay for gate and experts, in every setting."""

    epochs: Positive = 20
    """Passes over the training images; a phase takes a share of them."""
    batch_size: Positive = 128
    """Images of one step."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """As torch.optim has them."""
    learning_rate: Rate = 1e-3
    """The peak of the schedule."""
    momentum: Fraction = 0.9
    """Of rmsprop and sgd."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """L2 penalty in every step, of gate and experts alike."""
    schedule: Literal["one_cycle", "trapezoid", "cosine", "constant"] = "constant"
    """Course of the learning rate within each phase."""
    crop_padding: NonNegative = 0
    """Pixels of reflected border for random crops; 0 = no crop."""
    flip: bool = False
    """Mirror half of the images left-right."""
    early_stop: NonNegative = 0
    """Stop after this many epochs without a better one; 0 = never. With one phase only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it is."""
    threads: Positive = 1
    """Torch threads of one job; more jobs at once beat more threads."""


class PhaseSection(Section):
    """One phase of a training: what learns, from which weights, and what differs from the setting."""

    share: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """Epochs, as a share of training.epochs; at least one."""
    train: Annotated[tuple[Part, ...], Field(min_length=1)] = ("experts", "gate")
    """What learns; the rest keeps its weights and batch statistics."""
    start_from: str | None = None
    """Another setting of this run (the same seed), or a weights file of a mixture, whose parts are taken first."""
    parts: tuple[Literal["experts", "gate", "gate_trunk"], ...] = ("experts", "gate")
    """What is taken from there; gate_trunk: all of the gate's network but its last layer."""
    experts: Literal["kept", "initial", "fresh"] = "kept"
    """Go on, begin again with the same first weights, or with new ones."""
    gate_weights: Literal["kept", "trunk", "initial", "fresh"] = "kept"
    """The same for the gate; trunk: keep all but its last layer."""
    change: dict[Literal[CHANGEABLE], Any] = {}
    """Keys of the setting that differ in this phase."""
