"""The configuration of mixtures: which settings are trained, and beside which dense networks."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from metann import registry
from metann.config.figures import figures_of
from metann.config.mixture_parts import ExpertsSection, GateSection, MixtureTraining
from metann.config.mixture_setting import SettingSection, expand, routing_k
from metann.config.section import Section
from metann.errors import MetannError, one_of, unknown

COMMON = ("experts", "gate", "training")
Control = Literal["one_expert", "gate_alone", "same_parameters", "same_active_macs"]


class MixtureSection(Section):
    """Mixtures: gated experts that are trained together."""

    experts: ExpertsSection = ExpertsSection()
    """Of every setting that does not say otherwise."""
    gate: GateSection = GateSection()
    """The same for the gate."""
    training: MixtureTraining = MixtureTraining()
    """The same for the training."""
    settings: tuple[SettingSection, ...] = Field(
        default=("expectation", "expectation + importance(0.2)"), min_length=1, validate_default=True
    )
    """Presets, presets with regularisers, or keys over presets."""
    controls: tuple[Control, ...] = ("one_expert", "gate_alone", "same_parameters", "same_active_macs")
    """Dense networks that are trained in the same way: an expert, the gate's network as a classifier, and two whose width is found
    by count: as many parameters as `same_as` has, as many multiply-accumulates as it spends on an image."""
    same_as: str | None = None
    """A setting; null: the first whose routing leaves experts out, or else the first."""
    figures: Annotated[tuple[str, ...], figures_of("mixture")] = (
        "mixture_methods",
        "mixture_experts",
        "mixture_experts_soft",
        "mixture_usage",
        "mixture_entropy",
        "mixture_confusion",
        "mixture_pictures",
        "mixture_cost",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        common = {key: given[key] for key in COMMON if key in given}
        common = {key: value.model_dump() if isinstance(value, Section) else value for key, value in common.items()}
        settings = given.get("settings", cls.model_fields["settings"].default)
        return given | {"settings": [one if isinstance(one, Section) else expand(one, common) for one in settings]}

    @model_validator(mode="after")
    def _references(self) -> "MixtureSection":
        names = [setting.name for setting in self.settings]
        if repeated := sorted({name for name in names if names.count(name) > 1 or name in self.controls}):
            raise MetannError(f"two settings are called {repeated[0]!r}; give one of them another `name`")
        if self.same_as is not None and self.same_as not in names:
            raise unknown("setting (in mixture.same_as)", self.same_as, names)
        with_labels = registry.literal("mixture/gates.py", "WITH_LABELS") or ()
        if not any(setting.experts.number > 1 and setting.last.gate.kind not in with_labels for setting in self.settings):
            raise MetannError(
                f"mixture.settings {one_of(names)}: none has more than one expert and a gate that needs no label, so there is nothing to "
                "compare; add one, such as expectation"
            )
        for setting in self.settings:
            for source in setting.needs_phases_of():
                self._check_source(setting, source, names)
        return self

    def _check_source(self, setting: SettingSection, source: str, names: list[str]) -> None:
        if source not in names and not Path(source).is_file():
            raise unknown(
                f"run (a phase of {setting.name} starts from it)", source, names, "`mixture.settings`, or give a weights file that is there"
            )
        seen, todo = set(), [source]
        while todo:  # a circle of settings that wait for each other
            name = todo.pop()
            if name == setting.name:
                raise MetannError(f"setting {setting.name!r} starts from {source!r}, which waits for it; let it start from another one")
            if name in names and name not in seen:
                seen.add(name)
                todo += self.setting(name).needs_phases_of()

    def setting(self, name: str) -> SettingSection:
        """A setting or control by name."""
        return next(setting for setting in self.trained() if setting.name == name)

    def trained(self) -> tuple[SettingSection, ...]:
        """All settings, and the controls as settings of one expert."""
        return (*self.settings, *(self._control(control) for control in self.controls))

    def check(self, classes: int, networks: Iterable[str]) -> None:
        """Refuse what only the data and the other sections can tell.

        Raises:
            MetannError: class sets that do not cover the classes, or an embedding that is neither a network nor a file.
        """
        for setting in self.settings:
            setting.experts.sets_of(classes)
            for space in setting.embeddings():
                if space not in networks and not Path(space).is_file():
                    raise unknown(f"network (similarity.space of {setting.name})", space, networks, "the section `networks`")

    def _like(self) -> SettingSection:
        if self.same_as is not None:
            return next(setting for setting in self.settings if setting.name == self.same_as)
        several = [setting for setting in self.settings if setting.experts.number > 1] or list(self.settings)
        lean = (s for s in several if routing_k(s.last.route.eval, s.experts.number) < s.experts.number and not s.last.gate.needs_experts)
        return next(lean, several[0])

    def _control(self, control: Control) -> SettingSection:
        like = self._like()
        last = like.last
        experts = {"architecture": last.experts.architecture, "settings": last.experts.settings_of(0), "number": 1}
        if control == "gate_alone":
            experts = {"architecture": last.gate.architecture, "settings": last.gate.settings, "number": 1}
        values: dict[str, Any] = {"experts": experts, "training": self.training.model_dump(), "name": control}
        if control.startswith("same_"):
            of = last.model_dump() | {"training": MixtureTraining().model_dump(), "regularisers": {}}
            values["match"] = {"count": control.removeprefix("same_"), "of": of}
        return SettingSection.model_validate(expand({"preset": "single"} | values, {}))
