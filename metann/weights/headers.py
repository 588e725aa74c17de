"""What weight files say of themselves, kind by kind: which keys, of which types, and which of them every file of the kind has."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0, le=2**62)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Settings = dict[str, int | float | bool | str]
NETWORK = (
    "architecture",
    "settings",
    "num_classes",
    "channels",
    "image_size",
    "class_names",
    "mean",
    "std",
    "bits",
    "dataset",
    "digest",
    "sources",
)
"""What a packed model keeps of the header of each network in it."""


class Origin(BaseModel):
    """The run that a model was chosen in."""

    model_config = ConfigDict(strict=True)

    run: str
    seed: int | None = None
    dataset_threshold: float | None = None


class Header(BaseModel):
    """What every file may say, as far as networks are built from it."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: str | None = None
    architecture: str | None = None
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    channels: Annotated[int, Field(ge=1, le=10_000)] | None = None
    image_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    settings: Settings = {}
    class_names: list[str] | None = None
    mean: list[Finite] | None = None
    std: list[Positive] | None = None
    network: str | None = None
    dataset: str | None = None
    seed: int | None = None
    tail: Annotated[int, Field(ge=0, le=1000)] | None = None
    digest: str | None = None
    bits: Annotated[int, Field(ge=1, le=16)] | None = None
    crop: dict[str, Any] | None = None
    assumed: list[str] = []
    sources: dict[str, str] = {}
    origin: Origin | None = None
    class_index: Annotated[Count | None, Field(alias="class")] = None
    dataset_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    state: str | None = None
    body: str | None = None
    setting: str | None = None
    training: dict[str, Any] = {}

    @model_validator(mode="after")
    def _of_one_shape(self) -> "Header":
        for what, values, number, of in (
            ("class names", self.class_names, self.num_classes, "classes"),
            ("numbers of mean", self.mean, self.channels, "channels"),
            ("numbers of std", self.std, self.channels, "channels"),
        ):
            if values is not None and number is not None and len(values) != number:
                raise ValueError(f"{len(values)} {what} for {number} {of}")
        return self


class Seen(Header):
    """Of what answers images on its own."""

    num_classes: Annotated[int, Field(ge=1, le=1_000_000)]
    channels: Annotated[int, Field(ge=1, le=10_000)]
    image_size: Annotated[int, Field(ge=1, le=100_000)]
    class_names: list[str]
    mean: list[Finite]
    std: list[Positive]


class Rule(BaseModel):
    """Of a packed meta neural network."""

    model_config = ConfigDict(strict=True, extra="forbid")

    switch_function: str
    combine: str
    prior_K: list[Finite] | None = None
    switch_temperature: Positive | None = None
    expert_temperatures_K: list[Positive] | None = None
    weights: Annotated[list[Finite], Field(min_length=2, max_length=2)] = [1.0, 1.0]
    for_all_classes: bool = False


class Packed(Seen):
    """A meta neural network in one file."""

    architecture: str
    rule: Rule
    trained: list[bool]
    expert_tail: Annotated[int, Field(ge=0, le=1000)] = 0
    second_trunk: bool = False


class Member(Seen):
    """A network in a packed cascade."""

    network: str
    architecture: str


class Cascade(Header):
    """Networks that are asked one after the other."""

    rule: dict[str, Any]
    networks: Annotated[list[Member], Field(min_length=1)]


class Mixture(Seen):
    """Experts and their gate."""

    architecture: str | None
    options: dict[str, Any]
    experts: Annotated[int, Field(ge=1, le=100_000)]
    gate_macs: Count
    expert_macs: Annotated[list[Count], Field(min_length=1)]
    parameters: Count
    class_sets: list[list[Count]] | None = None
    phases: list[dict[str, Any]] = []
    preset: str | None = None
    seed: int

    @model_validator(mode="after")
    def _of_so_many(self) -> "Mixture":
        if len(self.expert_macs) != self.experts:
            raise ValueError(f"{len(self.expert_macs)} costs for {self.experts} experts")
        return self


class Written(Seen):
    """What hypernetworks have in common: the classifier whose numbers are generated."""

    classifier: str
    experiment: str
    generator: str
    generator_digest: str
    numbers: Count
    z_size: Annotated[int, Field(ge=1, le=1_000_000)]
    macs: Count


class Generator(Written):
    """What writes classifiers from codes."""

    generator_kind: str
    generator_settings: Settings
    bound: str
    z: str
    tasks: list[Count]
    parameters: Count
    dataset: str | None
    seed: int
    scheme: str | None = None
    held_out: str | None = None


class Classifier(Written):
    """What a generator wrote."""

    written: Annotated[int, Field(ge=1, le=1_000_000)]
    dataset: str | None
    val_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.0


KINDS: dict[str, type[Header]] = {
    "meta neural network": Packed,
    "cascade": Cascade,
    "mixture": Mixture,
    "generator": Generator,
    "generated classifier": Classifier,
}


def header_of(kind: object) -> type[Header]:
    """What a file of a kind has to say of itself; plain networks and experts have none."""
    return KINDS.get(kind, Header) if isinstance(kind, str) else Header
