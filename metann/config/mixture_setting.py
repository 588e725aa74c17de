"""One setting: a whole mixture, and how it is trained.

It is written as the word of a preset, as such a word with regularisers (`top_2 + importance(0.2)`), or as keys over a preset.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from metann import registry
from metann.config.mixture_parts import (
    NOISE,
    ExpertsSection,
    GateSection,
    MixtureTraining,
    PhaseSection,
    RouteSection,
    SimilaritySection,
    TemperatureSection,
)
from metann.config.mixture_presets import PRESETS
from metann.config.section import Name, Section, read_section
from metann.errors import MetannError, unknown
from metann.function_call import read_call

Weights = Annotated[dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]], BeforeValidator(lambda given: given or {})]


class MatchSection(Section):
    """A width that is found by count: the dense network that costs what a mixture costs."""

    count: Literal["parameters", "active_macs"]
    """Of what as much as the mixture has, or spends on an image."""
    of: "SettingSection"
    """The mixture."""


class SettingSection(Section):
    """One mixture."""

    name: Name
    """Of its folder and in all tables."""
    preset: str = "expectation"
    """What it was written as: a word of metann/config/mixture_presets.py."""
    experts: ExpertsSection = ExpertsSection()
    gate: GateSection = GateSection()
    temperature: TemperatureSection = TemperatureSection()
    noise: str = "none"
    """On the gate's scores in training: none, gaussian(deviation), gumbel, learned."""
    route: RouteSection = RouteSection()
    combine: str = "prob_mean"
    """A function of metann/mixture/combination.py."""
    final_softmax: bool = False
    """Take the softmax of probabilities once more, as code once did; for comparison only."""
    loss: str = "nll_mix"
    """A function of metann/mixture/losses.py: nll_mix, jacobs(alpha), nll_selected."""
    regularisers: Weights = {}
    """Functions of metann/mixture/regularisers.py and their weights in the loss."""
    similarity: SimilaritySection = SimilaritySection()
    training: MixtureTraining = MixtureTraining()
    phases: Annotated[tuple[PhaseSection, ...], Field(min_length=1)] = (PhaseSection(),)
    """One after the other, each from the best epoch of the one before."""
    compute: Literal["auto", "dense", "vmap", "sparse"] = "auto"
    """All experts one by one, all at once, or only those that answer on only their images; auto: at once where they are
    alike, on a GPU or small."""
    match: MatchSection | None = None
    """Controls only: scale the expert's `width`."""

    @field_validator("noise", "loss", "combine")
    @classmethod
    def _known(cls, text: str, info: Any) -> str:
        known, where = {
            "noise": (NOISE, ""),
            "loss": (registry.functions("mixture/losses.py"), "metann/mixture/losses.py"),
            "combine": (dict.fromkeys(registry.functions("mixture/combination.py"), ()), "metann/mixture/combination.py"),
        }[info.field_name]
        read_call(text, {"combine": "combination"}.get(info.field_name, info.field_name), known, where)
        return text

    @model_validator(mode="after")
    def _consistent(self) -> "SettingSection":
        known = registry.functions("mixture/regularisers.py")
        for name in self.regularisers:
            if name not in known:
                raise unknown("regulariser", name, known, "metann/mixture/regularisers.py")
        if self.training.early_stop and len(self.phases) > 1:
            raise MetannError(f"early_stop with {len(self.phases)} phases would end the first; set it to 0")
        for number in range(len(self.phases)) if self.phases != (PhaseSection(),) else ():
            self.phase(number)
        if self.phases == (PhaseSection(),):
            _check_together(self)
        for number, phase in enumerate(self.phases):
            if "experts" not in phase.train and not (gate := self.phase(number).gate).has_network:
                raise MetannError(
                    f"phase {number} of {self.name} trains the gate alone, and gate {gate.kind!r} has nothing to train; use mlp"
                )
        if self.match and (self.experts.number > 1 or "width" not in registry.architecture_settings(self.experts.architecture)):
            raise MetannError(f"{self.name}: a width is found for one network of an architecture with the setting width")
        return self

    def phase(self, number: int) -> "SettingSection":
        """The setting as it is in one phase."""
        if self.phases == (PhaseSection(),):
            return self
        phase = self.phases[number]
        changed = merged(self.model_dump(mode="json"), phase.change) | {"phases": [{}], "training": self.training.model_copy()}
        changed["training"] = self.training.model_dump() | {"early_stop": 0}
        return read_section(SettingSection, changed, f"phases.{number}.change")

    def epochs(self, number: int) -> int:
        """Of one phase."""
        return max(round(self.training.epochs * self.phases[number].share), 1)

    @property
    def last(self) -> "SettingSection":
        """As it answers when all phases are over."""
        return self.phase(len(self.phases) - 1)

    def needs_phases_of(self) -> tuple[str, ...]:
        """Settings or files that a phase starts from."""
        return tuple(dict.fromkeys(phase.start_from for phase in self.phases if phase.start_from))

    def architectures(self) -> list[str]:
        """Names of all networks that are built for it, in any phase."""
        parts = [part for number in range(len(self.phases)) for part in (self.phase(number).experts, self.phase(number).gate)]
        if self.match:
            parts += [self.match.of.experts, self.match.of.gate]
        return sorted({part.architecture for part in parts})

    def embeddings(self) -> tuple[str, ...]:
        """Networks or files whose features the regulariser sample_similarity compares."""
        phases = [self.phase(number) for number in range(len(self.phases))]
        spaces = [phase.similarity.space for phase in phases if "sample_similarity" in phase.regularisers]
        return tuple(dict.fromkeys(space for space in spaces if space != "pixel"))


def routing_k(text: str, experts: int) -> int:
    """How many experts answer an image."""
    name, numbers = read_call(text, "routing", registry.functions("mixture/routing.py"))
    return int(numbers[0]) if name == "top_k" else experts if name == "soft" else 1


def _check_together(setting: SettingSection) -> None:
    """Refuse parts that do not go together.

    Raises:
        MetannError: naming the two and the cure.
    """
    n, gate = setting.experts.number, setting.gate
    for when in ("train", "eval"):
        text = getattr(setting.route, when)
        if (k := routing_k(text, n)) > n:
            raise MetannError(f"route.{when} {text!r} asks {k} experts of {n}; give k <= {n}, or more experts")
        if setting.combine in ("selected", "selected_scaled") and k != 1 < n:
            raise MetannError(
                f"combine {setting.combine!r} answers by one expert, route.{when} {text!r} asks {k}; use top_k(1), argmax or sample, "
                "or combine prob_mean"
            )
    if setting.loss == "nll_selected" and routing_k(setting.route.train, n) != 1 < n:
        raise MetannError(f"loss 'nll_selected' is of one expert, route.train {setting.route.train!r} asks more; use argmax, or nll_mix")
    if gate.kind == "loss_regression" and (setting.loss != "nll_selected" or routing_k(setting.route.eval, n) != 1 < n):
        raise MetannError(
            "gate 'loss_regression' names the expert of the best answer: use argmax for training and evaluation, nll_selected"
        )
    if gate.kind == "attention" and not setting.experts.alike:
        raise MetannError("gate 'attention' compares the features of experts, which need one width; give all the same settings, or use mlp")
    if gate.kind == "class_sets" and setting.experts.class_sets == ():
        raise MetannError("gate 'class_sets' needs experts.class_sets: classes for each expert, or 'even'")
    if setting.compute == "vmap" and not setting.experts.alike:
        raise MetannError("compute 'vmap' runs all experts at once, which must be built alike; use dense or sparse")
    if setting.compute == "sparse" and gate.needs_experts:
        raise MetannError(f"compute 'sparse' saves nothing where gate {gate.kind!r} looks at all experts first; use vmap or dense")
    if setting.final_softmax and setting.combine == "logit_mean":
        raise MetannError("final_softmax repeats a softmax over probabilities; combine 'logit_mean' has none to repeat: use prob_mean")
    if setting.noise == "learned" and not gate.has_network:
        raise MetannError(f"noise 'learned' has its size from the gate's network, and gate {gate.kind!r} has none; use gaussian(deviation)")
    if "load" in setting.regularisers and (
        setting.noise.split("(")[0] not in ("gaussian", "learned") or routing_k(setting.route.train, n) >= n
    ):
        raise MetannError(
            "regulariser 'load' counts on noise: use noise gaussian(deviation) or learned, and route.train top_k(k) with k < experts"
        )


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of both, those of `above` first; mappings within are merged too, and None there clears what stands below.

    Another architecture does not take over the settings of the one below.
    """
    out = dict(below)
    if above.get("architecture", out.get("architecture")) != out.get("architecture"):
        out.pop("settings", None)
    for key, value in above.items():
        inner = out.get(key)
        out[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return out


def expand(given: Any, common: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as it is written -> all of its keys.

    Args:
        given: a preset's word, `word + regulariser(weight) + ...`, or a mapping with `preset` among its keys.
        common: keys that stand below every preset.

    Raises:
        MetannError: an unknown preset or regulariser, or a form that is none of these.
    """
    if isinstance(given, str):
        word, *more = [part.strip() for part in given.split("+")]
        known = dict.fromkeys(registry.functions("mixture/regularisers.py"), ("weight",))
        calls = [read_call(part, "regulariser", known, "metann/mixture/regularisers.py") for part in more]
        name = "_".join([word, *(f"{called}_{numbers[0]:g}" for called, numbers in calls)])
        given = {"preset": word, "name": name}
        given |= {"regularisers": {called: numbers[0] for called, numbers in calls}} if calls else {}
    if not isinstance(given, Mapping):
        raise MetannError(f"setting {given!r} is neither a preset nor keys over one; write one such as top_2 + importance(0.2)")
    preset = given.get("preset", "expectation")
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS, "metann/config/mixture_presets.py")
    return {"name": preset} | merged(merged(common, PRESETS[preset]), given)
