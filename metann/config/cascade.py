"""The configuration of cascades: which networks, how they are judged, and what the memory and the stream of images are."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, field_validator, model_validator

from metann import registry
from metann.config.cascade_answers import AnswerRule, answer_taken
from metann.config.figures import figures_of
from metann.config.network import Macs
from metann.config.section import NonNegative, Positive, Section
from metann.errors import MetannError, unknown

Share = Annotated[float, Field(ge=0, le=1)]


def _known_scores(names: tuple[str, ...]) -> tuple[str, ...]:
    known = registry.functions("cascade/score_functions.py")
    for name in names:
        if name not in known:
            raise unknown("score function", name, known, "metann/cascade/score_functions.py")
    return names


class MemorySection(Section):
    """Answers kept for images that come again."""

    key: str = "none"
    """How an image is known again: dhash, invariants (rotations too), or none for no memory."""
    capacity: Positive | None = None
    """Most answers kept, the least recently used forgotten first; null: no bound."""

    @field_validator("key")
    @classmethod
    def _known(cls, key: str) -> str:
        known = registry.functions("cascade/memory_keys.py")
        if key != "none" and key not in known:
            raise unknown("memory key", key, [*known, "none"], "metann/cascade/memory_keys.py")
        return key


class WorkloadSection(Section):
    """The stream of images that a cascade answers: all images of a split, and duplicates of them."""

    duplicates: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Duplicates per image; 0.5 repeats half of the images once, 2 every image twice."""
    rotations: Share = 0.0
    """Share of the duplicates that are turned by a quarter or a half, or mirrored."""
    shuffled: bool = True
    """Mix originals and duplicates; false: duplicates come last."""
    seed: NonNegative = 42
    """Of duplicates, turns and order."""


class CascadeRule(Section):
    """Which network answers."""

    thresholds: tuple[FiniteFloat, ...] = ()
    """One after each network but the last; an image less sure than it goes on to the next network."""
    score: str = "difference"
    """A function of metann/cascade/score_functions.py."""
    postcheck: bool = False
    """Keep the more confident answer: `answer: more_confident` by its published name."""
    answer: AnswerRule = "second"
    """Of the networks asked: the last one's (second), the more confident one, or the mean or the product of all answers so far."""
    temperatures: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = ()
    """Of each network, dividing its logits; none: as they are."""

    @field_validator("score")
    @classmethod
    def _known(cls, score: str) -> str:
        return _known_scores((score,))[0]

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        answer = answer_taken(self.answer, self.postcheck)
        # two names of one thing: whoever reads either finds it
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "postcheck", answer == "more_confident")
        return self


class ChainSection(CascadeRule):
    """A cascade of more than two networks; without thresholds they are searched on validation, stage by stage."""

    networks: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order in which they are asked."""

    @model_validator(mode="after")
    def _consistent(self) -> "ChainSection":
        if self.thresholds and len(self.thresholds) != len(self.networks) - 1:
            raise MetannError(f"{len(self.networks)} networks need {len(self.networks) - 1} thresholds, {len(self.thresholds)} were given")
        if self.temperatures and len(self.temperatures) != len(self.networks):
            raise MetannError(
                f"{len(self.networks)} networks and {len(self.temperatures)} temperatures; give one for each network, or none"
            )
        return self


def _pairs(given: object) -> object:
    """`all` is no pair in particular; `[first, second]` of a file and `first:second` of a command line are the same."""
    if given == "all":
        return ()
    if not isinstance(given, list | tuple):
        raise MetannError(f"pairs {given!r} are neither 'all' nor a list of [first, second]")
    for pair in given:
        if isinstance(pair, list | tuple) and len(pair) != 2:
            raise MetannError(f"pair {list(pair)!r} is not of the form [first, second]")
    return tuple(":".join(map(str, pair)) if isinstance(pair, list | tuple) else pair for pair in given)


class CascadeSearch(Section):
    """Which cascades are searched, and what for."""

    pairs: Annotated[tuple[Annotated[str, Field(pattern="^[^:]+:[^:]+$")], ...], BeforeValidator(_pairs)] = ()
    """[first, second] each (`first:second` on the command line); all ordered pairs where not given."""
    every_chain: bool = False
    """Search every ordered chain of the networks; in a file `chains: all`."""
    max_length: Annotated[int, Field(ge=2, le=12)] = 5
    """Networks of such a chain at most."""
    cross_fit: bool = False
    """Find such chains on each half of the validation images and choose by the other half."""
    chains: tuple[ChainSection, ...] = ()
    """Cascades of more networks; on the command line each a JSON object with networks, thresholds, score and answer."""
    scores: Annotated[tuple[str, ...], Field(min_length=1)] = ("max_probability", "difference", "entropy")
    """How sure an answer is; functions of metann/cascade/score_functions.py."""
    postcheck: Literal["both", "with", "without"] = "both"
    """Keep the more confident of two answers, always take the second, or try both ways."""
    answers: tuple[AnswerRule, ...] = ()
    """Which answers are tried, in place of `postcheck`: second, more_confident, mean, product."""
    temperature: Literal["none", "validation"] = "none"
    """Calibrate every network on validation first."""
    grid: Annotated[int, Field(ge=2, le=10_000_000)] = 2000
    """Thresholds of the published uniform grid, searched beside all distinct scores."""
    target: Share | Literal["best_network"] = "best_network"
    """An accuracy, or that of the best single network on validation."""
    budget: Macs | None = None
    """Multiply-accumulates per image, on average."""

    @model_validator(mode="before")
    @classmethod
    def _all_chains(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("chains") == "all":
            return {key: value for key, value in given.items() if key != "chains"} | {"every_chain": True}
        return given

    @field_validator("scores")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "oracle" in names:
            raise MetannError("the oracle looks at the true class and cannot be searched; it is reported as a bound in any case")
        return _known_scores(names)

    @model_validator(mode="after")
    def _two_networks(self) -> Self:
        for first, second in self.named_pairs():
            if first == second:
                raise MetannError(f"pairs: {first!r} cannot be both networks of a pair")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.answers and self.postcheck != "both":
            raise MetannError(f"answers {list(self.answers)} and postcheck {self.postcheck!r} both say which answers are tried; give one")
        if len(set(self.answers)) < len(self.answers):
            raise MetannError(f"answers {list(self.answers)}: give each once")
        return self

    def answers_tried(self) -> tuple[str, ...]:
        """`answers`, or what `postcheck` says."""
        published = {"both": ("second", "more_confident"), "with": ("more_confident",), "without": ("second",)}
        return self.answers or published[self.postcheck]

    def named_pairs(self) -> list[tuple[str, str]]:
        """(first, second) of every pair that is named; empty: all ordered pairs."""
        return [tuple(pair.split(":")) for pair in self.pairs]


class CascadeChoice(Section):
    """How one cascade is chosen."""

    search: Literal["exact", "grid"] = "exact"
    """Which thresholds are tried: every distinct score, or the published uniform grid. Both are always reported."""
    objective: Literal["accuracy", "target_accuracy", "budget"] = "accuracy"
    """The best accuracy; an accuracy of `target` at least cost; or the best accuracy for `budget`."""


class CascadeRun(Section):
    """How a cascade is run."""

    memory: MemorySection = MemorySection()
    workload: WorkloadSection = WorkloadSection()
    batch_size: Positive = 1
    """Images that are answered at once."""


class CascadeSection(CascadeSearch, CascadeChoice, CascadeRun):
    """Cascades of two networks: which pairs, how they are judged, and what is run."""

    networks: tuple[str, ...] = ()
    """Names of `networks`; empty: all of them."""
    figures: Annotated[tuple[str, ...], figures_of("cascade")] = (
        "cascade_thresholds",
        "cascade_cost",
        "cascade_complementarity",
        "cascade_memory",
    )
    """Files of metann/figures."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        twice = next((name for name in self.networks if self.networks.count(name) > 1), None)
        if twice is not None:
            raise MetannError(f"cascade.networks names {twice!r} twice; give each once")
        if self.objective == "budget" and self.budget is None:
            raise MetannError("cascade.objective is 'budget'; give cascade.budget in multiply-accumulates per image")
        if self.every_chain and "figures" not in self.model_fields_set:
            object.__setattr__(self, "figures", (*self.figures, "cascade_frontier"))
        return self

    def network_names(self, configured: list[str]) -> list[str]:
        """Names of the networks that take part, in the order of the configuration.

        Raises:
            MetannError: a name that is not in `configured`, a pair or chain outside `networks`, or fewer than two networks.
        """
        names = list(self.networks) or list(configured)
        for role, mentioned in [
            ("cascade.networks", names),
            ("cascade.pairs", [name for pair in self.named_pairs() for name in pair]),
            ("cascade.chains", [name for chain in self.chains for name in chain.networks]),
        ]:
            for name in mentioned:
                if name not in configured:
                    raise unknown(f"network (in {role})", name, configured, "the section `networks`")
                if name not in names:
                    raise MetannError(f"{role} names {name!r}, which is not one of cascade.networks; add it there")
        if len(names) < 2:
            raise MetannError(f"a cascade needs two networks, the configuration has {len(names)}; add one to `networks`")
        return names
