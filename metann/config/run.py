"""The configuration: typed sections that are the one source of defaults, flags, checks and schema. Imports no torch.

A section is a frozen pydantic model. The workflow reads `config.yaml` into `Config`; a stage's CLI takes the same
sections as flags (`--training.epochs 20`), which `metann.sections.flags` writes. The defaults here are the values of
`config.yaml`, and a test keeps the two equal.
"""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from metann import registry
from metann.config.cascade import CascadeSection
from metann.config.data import DataSection
from metann.config.mixture import MixtureSection
from metann.config.mnn import ExpertSection, MnnSection
from metann.config.network import NetworkSection
from metann.config.section import Name, NonNegative, Section, read_section
from metann.config.statistics import StatisticsSection
from metann.config.training import TrainingSection
from metann.errors import MetannError, unknown


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
    mixture: MixtureSection | None = None
    """null: no mixtures in this run."""
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
