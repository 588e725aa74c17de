"""Threshold search, and the search of all chains: metann.cascade against plain loops, in this process.

    OMP_NUM_THREADS=1 python benchmarks/bench_cascade.py [--repeats 15] [--images 10000] [--thresholds 2000]

The published program loops in plain Python over every threshold, image and score and counts right answers without
post-check, with post-check, and the use of the second network. Here the loop runs over an evenly spaced part of the
thresholds and its time is multiplied up; its scores are made beforehand and are not in its time, while ours are. Both
give the same counts, which is checked. Prints a Markdown table: medians, with the fastest and slowest repeat.

All chains (product of answers, top-two difference, one threshold of 11 for all stages, five networks at most): the walk over sets
against two plain loops over chains and thresholds, one that decides each on its tables with numpy, and one over images in plain Python
whose scores are made beforehand. Both run an evenly spaced part of the chains, multiplied up; their counts are checked.
"""

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from metann.cascade.every_chain import GRID, States, frontier
from metann.cascade.rule import decide, high_is_sure, score_of
from metann.cascade.search import search_threshold, sweep_thresholds

SCORES = ("max_probability", "difference", "entropy")


def made_up_tables(n: int, k: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two networks of about 90 % accuracy with different errors."""
    generator = np.random.default_rng(seed)
    labels_N = generator.integers(0, k, n)

    def network() -> np.ndarray:
        logits_NK = 2 * generator.normal(size=(n, k))
        logits_NK[np.arange(n), labels_N] += 6
        p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)

    return network(), network(), labels_N


def double_loop(rows: dict[str, list[tuple]], thresholds: list[float]) -> dict[str, list[tuple[int, int, int]]]:
    """(right without, right with post-check, sent) per score and threshold; rows are (class a, class b, score a, score b, label)."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for score, images in rows.items():
        high = high_is_sure(score)
        found[score] = []
        for threshold in thresholds:
            right = right_checked = sent = 0
            for class_a, class_b, score_a, score_b, label in images:
                if (score_a >= threshold) if high else (score_a <= threshold):
                    right += class_a == label
                    right_checked += class_a == label
                else:
                    sent += 1
                    right += class_b == label
                    right_checked += (class_b if ((score_b > score_a) if high else (score_b < score_a)) else class_a) == label
            found[score].append((right, right_checked, sent))
    return found


def seconds(works: list[tuple[Callable[[], object], int]], repeats: int) -> list[list[float]]:
    """Wall seconds of each work in each repeat, after one that does not count; in turns, so that a busy machine slows all alike.

    Args:
        works: what to do, and how often in a row: the mean of so many is one repeat.
        repeats: of everything.
    """
    times: list[list[float]] = [[] for _ in works]
    for repeat in range(repeats + 1):
        for (work, often), mine in zip(works, times, strict=True):
            started = time.perf_counter()
            for _ in range(often):
                work()
            if repeat:
                mine.append((time.perf_counter() - started) / often)
    return times


def networks_of(n: int, networks: int, k: int = 10) -> tuple[list[np.ndarray], np.ndarray, list[float]]:
    """Networks of 85 to 92 % accuracy with errors of their own, and what they cost; the surer, the dearer."""
    generator = np.random.default_rng(1)
    labels_N, tables = generator.integers(0, k, n), []
    for number in range(networks):
        logits_NK = 2 * generator.normal(size=(n, k))
        logits_NK[np.arange(n), labels_N] += 5.5 + number / networks
        p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        tables.append((p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32))
    return tables, labels_N, [100.0 * 1.4**number for number in range(networks)]


def image_by_image(images: list[list[tuple[float, bool]]], costs: list[float], threshold: float) -> tuple[int, float]:
    """Right answers and cost of one chain; images hold (score, right) after each stage."""
    correct, cost = 0, 0.0
    for stages in images:
        for each, (score, right) in zip(costs, stages, strict=True):
            cost += each
            answer = right
            if score >= threshold:
                break
        correct += answer
    return correct, cost


def bench_chains(n: int, networks: int, repeats: int, part: int) -> None:
    """Print one table: all chains of some networks."""
    tables, labels_N, macs = networks_of(n, networks)
    chains = [chain for length in range(1, 6) for chain in itertools.permutations(range(networks), length)]
    some = [chains[i] for i in np.linspace(0, len(chains) - 1, part).round().astype(int)]
    states = States(tables, labels_N, "difference", "product")
    prepared = {}
    for chain in some:
        key, of = 0, []
        for network in chain:
            key = states.key(key, network)
            of.append(tuple(column.tolist() for column in states.of(key)))
        prepared[chain] = [[(scores[row], rights[row]) for scores, rights in of] for row in range(n)]

    def with_decide() -> list[tuple[int, float]]:
        found = []
        for chain in some:
            costs = np.cumsum([macs[i] for i in chain])
            for threshold in GRID:
                decisions = decide([tables[i] for i in chain], [threshold] * (len(chain) - 1), "difference", answer="product")
                found.append((int((decisions.prediction_N == labels_N).sum()), float(costs[decisions.asked_N - 1].sum())))
        return found

    def in_python() -> list[tuple[int, float]]:
        return [image_by_image(prepared[chain], [macs[i] for i in chain], threshold) for chain in some for threshold in GRID]

    for mine, theirs in zip(with_decide(), in_python(), strict=True):
        assert mine[0] == theirs[0]
        assert abs(mine[1] - theirs[1]) <= 1e-9 * theirs[1]
    best = {}
    for (chain, threshold), counts in zip(itertools.product(some, GRID), in_python(), strict=True):
        best[chain, threshold] = counts
    kept, tried = frontier(states, macs, 5)
    for correct, cost in best.values():  # nothing that a plain loop finds beats the frontier
        assert any(found.correct >= correct and found.macs * n <= cost * (1 + 1e-9) for found in kept)
    works = [(with_decide, 1), (in_python, 1), (lambda: frontier(States(tables, labels_N, "difference", "product"), macs, 5), 1)]
    numpy_s, python_s, ours = seconds(works, repeats)
    factor = len(chains) / part
    base = statistics.median(python_s) * factor
    print(f"\nAll {len(chains):,} chains of {networks} networks, {n} images, {len(GRID)} thresholds; {tried:,} settings walked\n")
    print("| search | median s | fastest .. slowest | times faster |\n|---|---|---|---|")
    rows = [(f"plain Python, image by image ({part} chains, times {factor:g})", [factor * t for t in python_s])]
    rows += [
        (f"numpy, chain by chain ({part} chains, times {factor:g})", [factor * t for t in numpy_s]),
        ("metann, a walk over sets", ours),
    ]
    for name, times in rows:
        median = statistics.median(times)
        print(f"| {name} | {median:.1f} | {min(times):.1f} .. {max(times):.1f} | {base / median:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--thresholds", type=int, default=2000)
    parser.add_argument("--part", type=int, default=20, help="thresholds that the double loop really runs")
    parser.add_argument("--chains", type=int, nargs="*", default=[8, 12], help="networks whose chains are searched")
    parser.add_argument("--chain-images", type=int, default=5000)
    parser.add_argument("--chain-part", type=int, default=20, help="chains that the plain loops really run")
    options = parser.parse_args()
    a, b, labels_N = made_up_tables(options.images)
    grid = np.linspace(0, 1, options.thresholds)
    some = np.linspace(0, options.thresholds - 1, options.part).round().astype(int)
    classes = a.argmax(1).tolist(), b.argmax(1).tolist()
    rows = {s: list(zip(*classes, score_of(s, a).tolist(), score_of(s, b).tolist(), labels_N.tolist(), strict=True)) for s in SCORES}

    for score, counts in double_loop(rows, grid[some].tolist()).items():
        for postcheck in (False, True):
            sweep = sweep_thresholds(a, b, labels_N, score, postcheck, options.thresholds)
            positions = some if high_is_sure(score) else options.thresholds - 1 - some
            ours = list(zip(sweep.correct_T[positions].tolist(), sweep.sent_T[positions].tolist(), strict=True))
            assert ours == [(count[postcheck], count[2]) for count in counts], (score, postcheck)

    def searches(points: int | None) -> Callable[[], object]:
        return lambda: [search_threshold(a, b, labels_N, score, check, points) for score in SCORES for check in (False, True)]

    factor = options.thresholds / options.part
    works = [(lambda: double_loop(rows, grid[some].tolist()), 1), (searches(options.thresholds), 10), (searches(None), 10)]
    loop, ours, exact = seconds(works, options.repeats)
    loop = [factor * t for t in loop]
    base = statistics.median(loop)
    print(
        f"{options.images} images, {options.thresholds} thresholds, {len(SCORES)} scores with and without post-check;"
        f" medians of {options.repeats}; Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}, one thread\n"
    )
    print("| search | median s | fastest .. slowest | times faster |\n|---|---|---|---|")
    print(f"| double loop ({options.part} thresholds, times {factor:g}) | {base:.2f} | {min(loop):.2f} .. {max(loop):.2f} | 1 |")
    for name, times in [(f"metann, the same {options.thresholds} thresholds", ours), ("metann, all distinct scores", exact)]:
        median = statistics.median(times)
        print(f"| {name} | {median:.5f} | {min(times):.5f} .. {max(times):.5f} | {base / median:.0f} |")
    for networks in options.chains:
        bench_chains(options.chain_images, networks, max(options.repeats // 5, 1), options.chain_part)


if __name__ == "__main__":
    main()
