"""The section of hypernetworks: experiments, generators, and how held-out tasks are learned."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from metann import registry
from metann.config.figures import figures_of
from metann.config.network import scalar
from metann.config.section import Name, NonNegative, Positive, Section
from metann.config.training import Rate
from metann.errors import MetannError, one_of, unknown

Setting = Annotated[int | float | bool | str, BeforeValidator(scalar)]
Even = Annotated[int, Field(ge=2, multiple_of=2)]
SCHEMES, HELD_OUT, KINDS, ARMS = (f"hypernetwork/{file}.py" for file in ("schemes", "held_out", "generator_kinds", "arms"))
CONTROLS = {"pca_subspace": "separate", "general_net": "general"}  # arms that need a further training, and its kind
BOUNDS = ("tanh", "scaled_tanh", "linear")
WITHOUT_IMAGES = ("zero_shot", "general_net")  # arms that no number of shots changes


def _check_settings(given: dict[str, Any], known: dict[str, str], what: str) -> None:
    types: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str}
    for key, value in given.items():
        if key not in known:
            raise MetannError(f"unknown {what.format(key)}; known: {one_of(known) or 'none'}")
        wanted = types.get(known[key])
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
            raise MetannError(f"{what.format(key)} = {value!r} is not of type {known[key]}")


class ExperimentSection(Section):
    """Which tasks there are, and which of them no generator sees in training."""

    scheme: str = "anchor"
    """A function of metann/hypernetwork/schemes.py."""
    options: dict[str, Setting] = {}
    """Of the scheme: anchor, pairing or mirrored."""
    held_out: str = "tasks"
    """A function of metann/hypernetwork/held_out.py."""
    test: Positive = 3
    """Units (tasks, pairs, flips or classes) held out for the report."""
    validation: Positive = 2
    """Further units, on which the arms' learning rates are chosen."""
    seed: NonNegative = 0
    """Which ones; the same for all generators and training seeds."""

    @model_validator(mode="after")
    def _known(self) -> "ExperimentSection":
        for kind, given, file in (("scheme", self.scheme, SCHEMES), ("way to hold tasks out", self.held_out, HELD_OUT)):
            if given not in registry.functions(file):
                raise unknown(kind, given, registry.functions(file), f"metann/{file}")
        _check_settings(self.options, registry.keyword_settings(SCHEMES, self.scheme), f"option {{!r}} of scheme {self.scheme}")
        return self


class GeneratorSection(Section):
    """A network that writes classifiers."""

    kind: str = "mlp"
    """A function of metann/hypernetwork/generator_kinds.py."""
    z_size: Positive = 16
    """Numbers of the task vector."""
    z: Literal["learned", "fixed"] = "learned"
    """Trained with the generator, or one-hot as published."""
    bound: str = "scaled_tanh"
    """Of the generated numbers: tanh, scaled_tanh or linear."""
    settings: dict[str, Setting] = {}
    """Of the kind, such as hidden."""

    @model_validator(mode="after")
    def _known(self) -> "GeneratorSection":
        known = [kind for kind in registry.functions(KINDS) if kind not in CONTROLS.values()]
        if self.kind not in registry.functions(KINDS):
            raise unknown("generator", self.kind, known, f"metann/{KINDS}")
        if self.bound not in BOUNDS:
            raise unknown("bound", self.bound, BOUNDS)
        _check_settings(self.settings, registry.keyword_settings(KINDS, self.kind), f"setting {{!r}} of generator {self.kind}")
        return self


class ClassifierSection(Section):
    """The network whose numbers are generated."""

    name: str = "small"
    """published, small, or an architecture without batch norm."""
    settings: dict[str, Setting] = {}
    """Of it, such as width."""
    pixels: Literal["normalised", "raw"] = "normalised"
    """Raw: 0 .. 255, as published."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if "/" in name or registry.own_network(name):
            registry.architecture_module(name)
        elif name not in ("published", "small", *registry.architectures()):
            raise unknown(
                "classifier", name, ["published", "small", "an architecture without batch norm"], "metann/hypernetwork/classifiers.py"
            )
        return name


class ManyTasksSection(Section):
    """Training of a generator."""

    steps: Positive = 2000
    """Each over several tasks at once."""
    block: Positive = 200
    """Steps between two rows of training.csv and two checkpoints."""
    tasks_per_step: Positive = 20
    """Tasks of one step, drawn without replacement; at most all."""
    batch_size: Even = 20
    """Images of each task, half of them positive."""
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    """rmsprop is TensorFlow's, as published."""
    learning_rate: Rate = 2e-3
    """The peak of the schedule."""
    schedule: Literal["one_cycle", "trapezoid", "cosine", "constant"] = "cosine"
    """Course of the learning rate."""
    z_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """L2 penalty on a learned z."""
    early_stop: NonNegative = 0
    """Stop after this many blocks without a better validation accuracy; 0 = never."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it is."""
    threads: Positive = 1
    """Torch threads of one job; more jobs at once beat more threads."""

    @model_validator(mode="after")
    def _whole_blocks(self) -> "ManyTasksSection":
        if self.steps % self.block:
            raise MetannError(f"steps {self.steps} are no whole number of blocks of {self.block}; change one of them")
        return self


class AdaptationSection(Section):
    """Learning held-out tasks; the same for all arms."""

    steps: Positive = 200
    """Of every arm."""
    batch_size: Even = 20
    """Images of each task in one step, half of them positive; all where there are fewer."""
    learning_rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """Adam's, tried by each arm on the validation tasks; the best one is used on the held-out tasks."""
    draws: Positive = 3
    """Choices of the images that are learned from."""
    curve_images: Positive = 25
    """Test images of each class for the curves over steps."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it is."""
    threads: Positive = 1
    """Torch threads of one job."""


class HypernetworkSection(Section):
    """Generators that write classifiers from task vectors, and the controls that they are compared with."""

    experiments: Annotated[dict[Name, ExperimentSection], Field(min_length=1)] = {"E1": ExperimentSection()}
    """By name: which tasks."""
    generators: Annotated[dict[Name, GeneratorSection], Field(min_length=1)] = {"mlp": GeneratorSection()}
    """By name; each is trained in every experiment."""
    classifier: ClassifierSection = ClassifierSection()
    training: ManyTasksSection = ManyTasksSection()
    adaptation: AdaptationSection = AdaptationSection()
    arms: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "zero_shot",
        "z_adapt",
        "z_adapt_random_generator",
        "random_subspace",
        "probe_last",
        "finetune_net",
        "scratch_net",
        "general_net",
    )
    """Functions of metann/hypernetwork/arms.py: what is learned of a held-out task."""
    shots: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 10, 100)
    """Images of each class that a held-out task is learned from."""
    figures: Annotated[tuple[str, ...], figures_of("hypernetwork")] = (
        "hypernetwork_codes",
        "hypernetwork_interpolation",
        "hypernetwork_loss",
        "hypernetwork_numbers",
        "hypernetwork_reliance",
        "hypernetwork_shots",
    )

    @field_validator("arms")
    @classmethod
    def _known_arms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in registry.functions(ARMS):
                raise unknown("arm", name, registry.functions(ARMS), f"metann/{ARMS}")
        return names

    @model_validator(mode="after")
    def _distinct(self) -> "HypernetworkSection":
        for role, values in (("arms", self.arms), ("shots", self.shots)):
            if len(set(values)) != len(values):
                raise MetannError(f"hypernetwork.{role} {list(values)} repeat; give each once")
        for arm, kind in CONTROLS.items():
            if arm in self.arms and kind in self.generators and self.generators[kind].kind != kind:
                raise MetannError(
                    f"arm {arm} trains a control named {kind!r}, but generator {kind} is of kind {self.generators[kind].kind}; rename it"
                )
        folders = [f"{experiment}_{generator}" for experiment in self.experiments for generator in self.trained]
        if len(set(folders)) != len(folders):
            raise MetannError("hypernetwork: two pairs of experiment and generator have one name, joined by '_'; rename one")
        return self

    @property
    def trained(self) -> dict[str, GeneratorSection]:
        """What is trained in every experiment: the generators, and the controls that arms need, unless a generator has their name."""
        needed = [kind for arm, kind in CONTROLS.items() if arm in self.arms]
        return self.generators | {
            kind: GeneratorSection(kind=kind, z="fixed", bound="linear") for kind in needed if kind not in self.generators
        }

    def adaptations(self) -> list[tuple[str, int]]:
        """(arm, shots) of every adaptation; arms that use no images have one, with 0 shots."""
        return [(arm, shots) for arm in self.arms for shots in ((0,) if arm in WITHOUT_IMAGES else self.shots)]
