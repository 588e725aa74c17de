"""What tables say of themselves, kind by kind: which keys, of which types, and which of them every table of the kind has.

A key that stands nowhere here is nobody's to read but for showing it.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from metann.tables.described import Collected, Confidence, Cost, Count, Header, Names, Number, Seed, Share


class Temperatures(BaseModel):
    """Of a calibrated switch and its experts."""

    model_config = ConfigDict(strict=True)

    switch: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    experts: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]]


class Evaluation(Header):
    """One seed and dataset threshold of a meta neural network."""

    seed: Seed
    dataset_threshold: Share
    class_names: Names
    combine: str | None = None
    switch_functions: list[str] = []
    temperatures: Temperatures | dict[str, Number] = {}
    prior: list[Number] | None = None
    weights: Annotated[list[Number], Field(min_length=2, max_length=2)] = [1.0, 1.0]
    for_all_classes: bool = False
    states: list[str | None] = []
    switch_macs: Cost | None = None
    expert_macs: Cost | None = None


class Prefix(Evaluation):
    """Of which a model is put together again."""

    combine: str
    switch_functions: list[str]
    network: str | None


class MnnTable(Collected):
    """Of a run's page on meta neural networks."""

    seeds: Annotated[list[Seed], Field(min_length=1)]
    class_names: Names
    combine: str | None = None
    longer: str | None = None
    compared: list[str] = []
    """Plain networks that the page's verdicts compare with, image by image."""
    for_all_classes: bool = False
    switch_macs: Cost | None = None
    expert_macs: Cost | None = None


class Searched(Header):
    """Cascades of one seed, or of all."""

    confidence: Confidence
    networks: Names
    grid: Count
    target: Number | list[Number] | None
    budget: Number | None = None
    max_length: Count | None = None
    cross_fit: bool | None = None
    tried: Count | list[Count] = 0
    temperatures: dict[str, Number] | list[dict[str, Number] | None] | None = None


class Chosen(Searched):
    """The same of a whole run."""

    run: str
    dataset: str | None
    digest: str | None
    seeds: Annotated[list[Seed], Field(min_length=1)]
    target: list[Number | None]


class Streams(Header):
    """What a memory saved."""

    capacity: Count | None


class MixtureSetting(BaseModel):
    """A mixture's setting, as far as tables are read by it."""

    model_config = ConfigDict(strict=True, extra="allow")

    gate: dict[str, Any] = {}
    experts: dict[str, Any] = {}


class OneMixture(Header):
    """One setting and seed of a mixture."""

    setting: str
    seed: Seed
    preset: str | None = None
    options: MixtureSetting | None = None
    class_sets: list[list[Count]] | None = None


class Mixtures(Header):
    """One setting, or all of a run."""

    options: dict[str, Any] | None = None
    class_sets: list[list[Count]] | dict[str, list[list[Count]] | None] | None = None
    architectures: dict[str, str | None] = {}


class Generator(BaseModel):
    """What a page says of a generator."""

    model_config = ConfigDict(strict=True, extra="allow")

    scheme: str | None = None
    held_out: str | None = None
    bound: str | None = None
    z: str | None = None
    z_size: Count | None = None
    numbers: Count | None = None
    parameters: Count | None = None
    macs: Cost | None = None
    dropped_test_images: Count | None = None


class Generators(Header, Generator):
    """One generator, or all of a run."""

    experiment: str | None = None
    generator: str | None = None
    generator_digest: str | None = None
    generator_digest_after: str | None = None
    frozen: bool | None = None
    shots: Count | None = None
    learning_rate: Cost | None = None
    generators: dict[str, Generator] = {}


class OneGenerator(Generators):
    """One experiment, generator and seed."""

    experiment: str
    generator: str
    generator_digest: str | None
    seed: Seed
    digest: str | None
    class_names: Names | None


class Results(Collected):
    """Of a run's page over its families."""

    compared: dict[str, list[str]] = {}
    """Family -> plain networks that its verdicts compare with."""


KINDS: dict[str, type[Header]] = {
    "results": Results,
    "run_frontier": Collected,
    "prefix": Prefix,
    "cell": Evaluation,
    "self_check": Evaluation,
    "cascade_memory": Streams,
    "gate": OneMixture,
    "mixture_run": OneMixture,
    "mixture_answers": OneMixture,
    "hypernetwork_adapt": OneGenerator,
}
KINDS |= {f"cascade_{name}": Searched for name in ("results", "networks", "complementarity", "in_sample", "curves", "chains", "frontier")}
KINDS |= {f"cascade_{name}": Chosen for name in ("choice", "pairs", "ranking", "settings")}
FAMILIES: dict[str, type[Header]] = {"mnn_": MnnTable, "mixture_": Mixtures, "hypernetwork_": Generators}


def header_of(kind: str) -> type[Header]:
    """What a table of a kind has to say of itself."""
    return KINDS.get(kind) or next((header for family, header in FAMILIES.items() if kind.startswith(family)), Header)
