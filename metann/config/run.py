"""The configuration: typed sections that are the one source of defaults, flags, checks and schema. Imports no torch.

A section is a frozen pydantic model. The workflow reads `config.yaml` into `Config`; a stage's CLI takes the same
sections as flags (`--training.epochs 20`), which `metann.config.section.flags` writes. The defaults here are the values of
`config.yaml`, or what its comments name as the default, and a test keeps the two equal.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from metann import registry
from metann.config.cascade import CascadeSection
from metann.config.data import DataSection
from metann.config.figures import figures_of
from metann.config.hypernetwork import HypernetworkSection
from metann.config.latency import LatencySection
from metann.config.mixture import MixtureSection
from metann.config.mnn import MnnSection
from metann.config.network import NetworkSection
from metann.config.section import Name, Section, read_section
from metann.config.statistics import StatisticsSection
from metann.config.training import TrainingSection
from metann.errors import MetannError

# Where a key of an earlier version stands now.
MOVED = {
    "expert": "`expert` is `mnn.expert` now, and `expert.classes_per_job` is `mnn.classes_per_job`; move them into the section `mnn`",
}
MILLISECONDS = "pareto_ms"


class Config(Section):
    """A whole run. A family runs where its section stands."""

    run: Name = "demo"
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1)] = (0,)
    data: DataSection = DataSection()
    networks: dict[Name, NetworkSection] = {
        "switch": NetworkSection(architecture="small_cnn", settings={"width": 16, "depth": 4}),
        "longer": NetworkSection(architecture="small_cnn", settings={"width": 16, "depth": 4}, training={"epochs": 12}),
        "wide": NetworkSection(architecture="small_cnn", settings={"width": 24, "depth": 4}),
    }
    training: TrainingSection = TrainingSection()
    mnn: MnnSection | None = None
    """Left out: no meta neural network in this run."""
    cascade: CascadeSection | None = None
    """Left out: no cascades in this run."""
    mixture: MixtureSection | None = None
    """Left out: no mixtures in this run."""
    hypernetwork: HypernetworkSection | None = None
    """Left out: no hypernetworks in this run."""
    latency: LatencySection | None = None
    """Left out: milliseconds are not measured."""
    statistics: StatisticsSection = StatisticsSection()
    figures: Annotated[tuple[str, ...], figures_of(None)] = ("pareto",)
    """Over all families; those of one family stand in its section."""

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key, text in MOVED.items():
                if key in values:
                    raise MetannError(text)
            for family in registry.FAMILIES:
                if family in values and values[family] is None:
                    raise MetannError(
                        f"{family} = null: a family runs where its section stands; leave the key out, or write `{family}: {{}}` to run it"
                    )
            expert = (values.get("mnn") or {}).get("expert") if isinstance(values.get("mnn"), Mapping) else None
            if isinstance(expert, Mapping) and "classes_per_job" in expert:
                raise MetannError("`classes_per_job` is no setting of a training: it is `mnn.classes_per_job` now")
        return values

    @model_validator(mode="after")
    def _references(self) -> "Config":
        if self.mnn:
            self.mnn.check(self.networks)
        if not self.networks and not self.families:
            raise MetannError(f"there is nothing to do: no networks, and no section of {', '.join(registry.FAMILIES)}; add one")
        if self.cascade:
            self.cascade.network_names(list(self.networks))
        if len(set(self.seeds)) != len(self.seeds):
            raise MetannError(f"seeds {list(self.seeds)} repeat; give each once")
        for name in self.networks:
            self.training_of(name)
        if self.latency is None and MILLISECONDS in self.figures:
            raise MetannError(
                f"figure {MILLISECONDS} shows milliseconds that nobody measures; add a section `latency: {{}}`, or leave it out"
            )
        if self.latency is not None and "figures" not in self.model_fields_set:
            object.__setattr__(self, "figures", (*self.figures, MILLISECONDS))
        return self

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families that run, in their order."""
        return tuple(family for family in registry.FAMILIES if getattr(self, family) is not None)

    @property
    def all_figures(self) -> tuple[str, ...]:
        """Names of all figures of the run, family by family, those over families last."""
        return tuple(name for family in self.families for name in getattr(self, family).figures) + self.figures

    def training_of(self, network: str) -> TrainingSection:
        """The training of one network: `training` with that network's own keys over it."""
        return read_section(TrainingSection, self.training.model_dump() | self.networks[network].training, f"networks.{network}.training")
