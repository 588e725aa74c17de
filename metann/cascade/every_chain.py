"""Every ordered chain of some networks, searched on tables: which chain, at which thresholds.

Shapes: N images, K classes. Right and unsure images are kept as bits of whole numbers, image by image: Python's `&` and `bit_count` on
them take a tenth of a microsecond per thousand images, which makes a chain a few of them.

What a mean or a product says, and so who is right and who is unsure, depends on which networks were asked, not on their order
(`metann.cascade.evidence`): n networks have 2^n - 1 sets, judged once each, and a chain is a walk over them. At first all stages of a
chain have one threshold of `GRID`; `exact_thresholds` then moves the thresholds of the chains that are worth it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metann.cascade.evidence import ADDED, combined, evidence_of
from metann.cascade.rowwise import first_argmax
from metann.cascade.rule import asks_next, high_is_sure, next_wins, score_of

GRID = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Thresholds that all stages of a chain share at first; 1 minus these of a score that is low where a network is sure."""
MOST_EXACT = 12
"""Networks up to which every chain is walked; of more a beam."""
BEAM = 30
"""Of a beam, chains of each length that go on from each number of right answers: the cheapest."""


@dataclass(frozen=True)
class Found:
    """A chain and what it does on the images that it was searched on.

    Attributes:
        chain: positions of its networks, in the order in which they are asked.
        thresholds: one fewer.
        correct: images answered right.
        macs: multiply-accumulates per image.
    """

    chain: tuple[int, ...]
    thresholds: tuple[float, ...]
    correct: int
    macs: float


class States:
    """What is in hand after networks were asked: score and answer of every image, of each set of networks (or last network) once."""

    def __init__(self, tables: Sequence[np.ndarray], labels_N: np.ndarray, score: str, answer: str) -> None:
        """Say what the tables are of.

        Args:
            tables: (N, K) probabilities of every network.
            labels_N: true classes.
            score: name of a score function.
            answer: an `AnswerRule`.
        """
        self.labels_N, self.score, self.answer, self._tables = np.asarray(labels_N), score, answer, list(tables)
        self._evidence = [evidence_of(answer, p_NK) for p_NK in tables] if answer in ADDED else []
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._bits: dict[tuple[int, float], tuple[int, int]] = {}

    def key(self, before: int, network: int) -> int:
        """The state after one more network, as bits of the networks that it depends on.

        Args:
            before: state in hand; 0 where nobody was asked.
            network: position of the next one.
        """
        return (0 if self.answer == "second" else before) | 1 << network

    def of(self, key: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) float64 scores and (N,) bool, right, of a state; of two equally confident answers the first network has it."""
        if key not in self._known:
            members = [network for network in range(len(self._tables)) if key >> network & 1]
            if len(members) == 1 or self.answer == "more_confident":
                p_NK = self._tables[members[-1]]
            else:
                p_NK = combined(self.answer, sum(self._evidence[network] for network in members), len(members))
            score_N, right_N = score_of(self.score, p_NK), first_argmax(p_NK) == self.labels_N
            if len(members) > 1 and self.answer == "more_confident":
                before_N, before_right_N = self.of(key & ~(1 << members[-1]))
                wins_N = next_wins(self.score, before_N, score_N, True)
                score_N, right_N = np.where(wins_N, score_N, before_N), np.where(wins_N, right_N, before_right_N)
            self._known[key] = score_N, right_N
        return self._known[key]

    def bits(self, key: int, threshold: float) -> tuple[int, int]:
        """Images that are right, and images that are not sure enough, as bits."""
        if (key, threshold) not in self._bits:
            score_N, right_N = self.of(key)
            self._bits[key, threshold] = _as_bits(right_N), _as_bits(asks_next(self.score, score_N, threshold))
        return self._bits[key, threshold]


def frontier(states: States, macs: Sequence[float], max_length: int, grid: Sequence[float] = GRID) -> tuple[list[Found], int]:
    """Chains with one threshold for all stages that no other one beats: none is as right at less cost. Single networks are chains of one.

    Args:
        states: on the images that choose.
        macs: multiply-accumulates per image of each network, finite.
        max_length: networks of a chain at most.
        grid: thresholds to try, as of a score that is high where a network is sure.

    Returns:
        Most right first, and how many settings were tried.
    """
    n, high = len(states.labels_N), high_is_sure(states.score)
    best: dict[int, tuple[float, tuple[int, ...], float]] = {}
    tried = 0
    walk = _every if len(macs) <= MOST_EXACT else _beam
    for given in grid:
        threshold = given if high else 1 - given
        for correct, cost, chain in walk(states, macs, min(max_length, len(macs)), threshold):
            tried += 1
            if correct not in best or cost < best[correct][0]:
                best[correct] = cost, chain, threshold
    kept, least = [], np.inf
    for correct in sorted(best, reverse=True):
        cost, chain, threshold = best[correct]
        if cost < least:
            kept.append(Found(chain, (threshold,) * (len(chain) - 1), correct, cost / n))
            least = cost
    return kept, tried


def _every(states: States, macs: Sequence[float], max_length: int, threshold: float) -> Iterator[tuple[int, float, tuple[int, ...]]]:
    """Right answers, cost of all images, and chain, of every ordered chain at one threshold."""
    everyone = (1 << len(states.labels_N)) - 1

    def walk(chain: tuple[int, ...], before: int, running: int, answered: int, cost: float) -> Iterator[tuple[int, float, tuple[int, ...]]]:
        asked = running.bit_count()
        for network, each in enumerate(macs):
            if network in chain:
                continue
            key = states.key(before, network)
            right, unsure = states.bits(key, threshold)
            longer, spent = (*chain, network), cost + asked * each
            yield answered + (running & right).bit_count(), spent, longer
            if len(longer) < max_length and (left := running & unsure):
                yield from walk(longer, key, left, answered + (running & right & ~unsure).bit_count(), spent)

    return walk((), 0, everyone, 0, 0.0)


def _beam(states: States, macs: Sequence[float], max_length: int, threshold: float) -> Iterator[tuple[int, float, tuple[int, ...]]]:
    """The same, but from each length only `BEAM` chains of each number of right answers go on, the cheapest."""
    level = [((), 0, (1 << len(states.labels_N)) - 1, 0, 0.0)]
    for _ in range(max_length):
        longer: dict[int, list[tuple[float, tuple[int, ...], int, int, int]]] = {}
        for chain, before, running, answered, cost in level:
            asked = running.bit_count()
            for network, each in enumerate(macs):
                if network in chain:
                    continue
                key, spent = states.key(before, network), cost + asked * each
                right, unsure = states.bits(key, threshold)
                correct = answered + (running & right).bit_count()
                yield correct, spent, (*chain, network)
                if left := running & unsure:
                    now = answered + (running & right & ~unsure).bit_count()
                    longer.setdefault(correct, []).append((spent, (*chain, network), key, left, now))
        level = [
            (chain, key, left, now, spent) for correct in sorted(longer) for spent, chain, key, left, now in sorted(longer[correct])[:BEAM]
        ]


def exact_thresholds(states: States, macs: Sequence[float], found: Found, rounds: int = 3) -> Found:
    """A chain with thresholds of its own for each stage: more right, or as right for less, at no more cost.

    One stage after another tries every distinct score of the images that reach it, the other stages as they are, until nothing gets
    better. No better than the start on other images: these many thresholds are fitted to the images that choose.

    Args:
        states: on the images that choose.
        macs: multiply-accumulates per image of each network.
        found: where to start; its cost is the bound.
        rounds: passes over the stages at most.
    """
    n, stages = len(states.labels_N), len(found.chain)
    keys = [0]
    for network in found.chain:
        keys.append(states.key(keys[-1], network))
    of = [states.of(key) for key in keys[1:]]
    thresholds, best, bound = list(found.thresholds), (found.correct, -found.macs * n), found.macs * n
    for _ in range(rounds):
        before = best
        for stage in range(stages - 1):
            reached_N = np.ones(n, bool)
            so_far = 0.0
            right_before = 0
            for earlier in range(stage):
                so_far += macs[found.chain[earlier]] * np.count_nonzero(reached_N)
                sure_N = reached_N & ~asks_next(states.score, of[earlier][0], thresholds[earlier])
                right_before += int(np.count_nonzero(of[earlier][1] & sure_N))
                reached_N = reached_N & ~sure_N
            here = np.flatnonzero(reached_N)
            if not len(here):
                continue
            after_R, later_R = _after(states, macs, found.chain, of, thresholds, stage, here)
            sign = 1.0 if high_is_sure(states.score) else -1.0
            confidence_R = sign * of[stage][0][here]
            order = np.argsort(confidence_R, kind="stable")
            gain_R = after_R.astype(np.int64) - of[stage][1][here]
            starts = np.flatnonzero(np.concatenate([[True], np.diff(confidence_R[order]) > 0]))
            sent_T = np.append(starts, len(here))
            correct_T = right_before + np.count_nonzero(of[stage][1][here]) + np.concatenate([[0], np.cumsum(gain_R[order])])[sent_T]
            cost_T = so_far + macs[found.chain[stage]] * len(here) + np.concatenate([[0.0], np.cumsum(later_R[order])])[sent_T]
            within = cost_T <= bound * (1 + 1e-12)
            position = max(np.flatnonzero(within), key=lambda t: (correct_T[t], -cost_T[t]))
            if (correct_T[position], -cost_T[position]) > best:
                best = int(correct_T[position]), -float(cost_T[position])
                edges = np.append(confidence_R[order][starts], np.nextafter(confidence_R.max(), np.inf))
                thresholds[stage] = float(sign * edges[position])
        if best == before:
            break
    return Found(found.chain, tuple(thresholds), best[0], -best[1] / n)


def _after(
    states: States,
    macs: Sequence[float],
    chain: Sequence[int],
    of: Sequence[tuple[np.ndarray, np.ndarray]],
    thresholds: Sequence[float],
    stage: int,
    here: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) whether an image is right in the end once it is sent on from a stage, and (R,) what the networks after it cost."""
    right_R, cost_R, going_R = np.zeros(len(here), bool), np.zeros(len(here)), np.ones(len(here), bool)
    for later in range(stage + 1, len(chain)):
        score_N, correct_N = of[later]
        right_R = np.where(going_R, correct_N[here], right_R)
        cost_R = cost_R + going_R * macs[chain[later]]
        if later < len(chain) - 1:
            going_R = going_R & asks_next(states.score, score_N[here], thresholds[later])
    return right_R, cost_R


def _as_bits(flags_N: np.ndarray) -> int:
    return int.from_bytes(np.packbits(flags_N, bitorder="little").tobytes(), "little")
