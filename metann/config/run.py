"""The configuration: typed sections that are the one source of defaults, flags, checks and schema. Imports no torch.

A section is a frozen pydantic model. The workflow reads `config.yaml` into `Config`; a stage's CLI takes the same
sections as flags (`--training.epochs 20`), which `metann.sections.flags` writes. The defaults here are the values of
`config.yaml`, and a test keeps the two equal.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from metann import registry
from metann.config.cascade import CascadeSection
from metann.config.section import NonNegative, Positive, Section, read_section
from metann.config.training import ExpertSection, TrainingSection
from metann.errors import MetannError, one_of, unknown
from metann.thresholds import expand_thresholds, format_threshold

Thresholds = Annotated[tuple[float, ...], BeforeValidator(expand_thresholds)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


def _scalar(value: object) -> object:
    """A setting from a flag is text; read it as YAML does, so that flags and files give the same value."""
    return yaml.safe_load(value) if isinstance(value, str) else value


class SwitchFunction(BaseModel):
    """A switch function with its parameters, as written in the configuration: `top_p(0.9)`."""

    model_config = ConfigDict(frozen=True)
    name: str
    parameters: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "SwitchFunction":
        """Read `name(number, ...)`; thresholds and shares stay in [0, 1], counts are whole.

        Raises:
            MetannError: unknown function, wrong number of parameters, or a parameter out of range.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", str(text))
        known = registry.switch_functions()
        if match is None or match[1] not in known:
            raise unknown("switch function", text, (f"{n}({', '.join(p)})" for n, p in known.items()), "metann/mnn/switch_functions.py")
        names, given = known[match[1]], [part.strip() for part in (match[2] or "").split(",") if part.strip()]
        try:
            numbers = tuple(float(part) for part in given)
        except ValueError:
            numbers = ()
        if len(numbers) != len(names):
            raise MetannError(f"switch function {text!r} takes ({', '.join(names)}), each a number")
        for name, number in zip(names, numbers, strict=True):
            whole = name == "k"
            if (whole and (number < 0 or number != int(number))) or (not whole and not 0 <= number <= 1):
                raise MetannError(f"switch function {text!r}: {name} must be {'a whole number >= 0' if whole else 'in [0, 1]'}")
        return cls(name=match[1], parameters=numbers)

    def _texts(self) -> list[str]:
        names = registry.switch_functions()[self.name]
        return [str(int(v)) if n == "k" else format_threshold(v) for n, v in zip(names, self.parameters, strict=True)]

    @property
    def parameter(self) -> str:
        """The parameters as text, `0.90` or `0.50, 2`; empty where there are none."""
        return ", ".join(self._texts())

    @property
    def slug(self) -> str:
        """A file name: `top_p_0.90`."""
        return "_".join([self.name, *self._texts()])

    def __str__(self) -> str:
        return f"{self.name}({self.parameter})" if self.parameters else self.name


class DataSection(Section):
    """Which images, and how they are split."""

    name: str = "fashion_mnist_small"
    """A file of metann/datasets."""
    root: Path | None = None
    """Folder of the raw files; the embedded sets need none."""
    download: bool = True
    """Let torchvision fetch missing files into root."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images kept for choosing."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Image_folder without a test folder: share kept for the report."""
    split_seed: NonNegative = 42
    """The split is the same for every training seed."""
    image_size: Positive = 32
    """Of image_folder: pixels of the square that images are resized to."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in registry.datasets():
            raise unknown("dataset", name, registry.datasets(), "metann/datasets/")
        return name


# Types of settings as the architectures write them; a float may be written as 1.
_SETTING_TYPES: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str}


class NetworkSection(Section):
    """One network: trained here, read from weights, or given as a table of probabilities."""

    architecture: str | None = None
    """A name of metann/networks."""
    settings: dict[str, Annotated[int | float | bool | str, BeforeValidator(_scalar)]] = {}
    """Of the architecture, such as width."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ for this network."""
    weights: str | None = None
    """A local file, 'published', or a torchvision weight name: no training."""
    probabilities: Path | None = None
    """.npy (n x K) or .parquet: no network at all."""
    labels: Path | None = None
    """.npy (n), with probabilities."""
    split: Literal["train", "val", "test"] = "test"
    """Of an imported .npy."""
    val_rows: NonNegative = 0
    """Imported .npy: so many first rows become the validation split."""
    macs: Annotated[float, Field(gt=0)] | None = None
    """Imported: multiply-accumulates per image, for the cost axis."""

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkSection":
        if (self.architecture is None) == (self.probabilities is None):
            raise MetannError("a network needs either 'architecture' or 'probabilities'")
        if self.probabilities is not None and self.probabilities.suffix == ".npy" and self.labels is None:
            raise MetannError(f"probabilities {self.probabilities} need 'labels': an .npy file with the true class of each row")
        if self.architecture is not None:
            if self.architecture not in registry.architectures():
                raise unknown("architecture", self.architecture, registry.architectures(), "metann/networks/")
            known = registry.architecture_settings(self.architecture)
            for key, value in self.settings.items():
                if key not in known:
                    raise MetannError(f"unknown setting {key!r} of {self.architecture}; known: {one_of(known) or 'none'}")
                wanted = _SETTING_TYPES.get(known[key])
                if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
                    raise MetannError(f"setting {key} = {value!r} of {self.architecture} is not of type {known[key]}")
        return self

    @property
    def imported(self) -> bool:
        """Whether this network is only a table."""
        return self.probabilities is not None


class MnnSection(Section):
    """The meta neural network: one switch, one expert per class and dataset threshold."""

    switch: str = "switch"
    """A name of `networks`."""
    controls: tuple[str, ...] = ("longer", "wide")
    """Names of `networks` that are compared at their cost."""
    dataset_thresholds: Thresholds = (0.05, 0.1, 0.2)
    """An expert learns from the images whose probability for its class reaches this."""
    test_thresholds: Thresholds = expand_thresholds(["0..1 step 0.05", "0.1..0.3 step 0.01"])
    """An expert is asked when the probability for its class reaches this."""
    switch_functions: tuple[str, ...] = (
        "top_k(1)",
        "top_k(2)",
        "top_p(0.90)",
        "margin(0.20)",
        "only_if_unsure(0.50, 2)",
        "none",
        "all",
    )
    """Other ways to say which experts are asked."""
    combine: Literal["product", "product_calibrated", "replace"] = "product"
    """How the answers become one: as published, by Bayes' rule, or experts instead of the switch."""
    temperature: Literal["none", "validation"] = "none"
    """Calibrate the switch and the experts on validation first."""
    probabilities: Literal["in_sample", "out_of_fold"] = "in_sample"
    """Which probabilities choose the expert sets; out_of_fold: of networks that have not seen the image."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Networks trained for out_of_fold."""

    @field_validator("switch_functions")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(SwitchFunction.parse(text)) for text in given)


class StatisticsSection(Section):
    """Intervals and tests."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of every interval."""
    permutations: Positive = 2000
    """For the p of the best of all test cells."""


class Config(Section):
    """A whole run."""

    run: Name = "demo"
    seeds: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (0,)
    data: DataSection = DataSection()
    networks: dict[Name, NetworkSection] = {
        "switch": NetworkSection(architecture="small_cnn", settings={"width": 16, "depth": 3}),
        "longer": NetworkSection(architecture="small_cnn", settings={"width": 16, "depth": 3}, training={"epochs": 12}),
        "wide": NetworkSection(architecture="small_cnn", settings={"width": 24, "depth": 3}),
    }
    training: TrainingSection = TrainingSection()
    mnn: MnnSection | None = MnnSection()
    """null: no meta neural network in this run."""
    expert: ExpertSection = ExpertSection()
    cascade: CascadeSection | None = None
    """null: no cascades in this run."""
    statistics: StatisticsSection = StatisticsSection()
    figures: tuple[str, ...] = ("heatmap", "surface", "test_threshold", "expert_sets", "misclassified", "cost")

    @field_validator("figures")
    @classmethod
    def _known_figures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in registry.figures():
                raise unknown("figure", name, registry.figures(), "metann/figures/")
        return names

    @model_validator(mode="after")
    def _references(self) -> "Config":
        named = [("mnn.switch", self.mnn.switch), *(("mnn.controls", name) for name in self.mnn.controls)] if self.mnn else []
        for role, name in named:
            if name not in self.networks:
                raise unknown(f"network (in {role})", name, self.networks, "the section `networks`")
        if self.mnn and self.networks[self.mnn.switch].imported:
            raise MetannError(
                f"mnn.switch {self.mnn.switch!r} is a table; experts start from its weights: name a network with an architecture"
            )
        if self.cascade:
            self.cascade.network_names(list(self.networks))
        if len(set(self.seeds)) != len(self.seeds):
            raise MetannError(f"seeds {list(self.seeds)} repeat; give each once")
        for name in self.networks:
            self.training_of(name)
        return self

    def training_of(self, network: str) -> TrainingSection:
        """The training of one network: `training` with that network's own keys over it."""
        return read_section(TrainingSection, self.training.model_dump() | self.networks[network].training, f"networks.{network}.training")
