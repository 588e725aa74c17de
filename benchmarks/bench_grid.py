"""The search over both thresholds: one prefix table per dataset threshold against the ways it could be done and was done.

Both sides run here, one after the other, on this machine, with as many repeats as `--repeats` says; the table holds medians.

    python benchmarks/bench_grid.py                 (minutes; mostly the networks of the published way)
    python benchmarks/bench_grid.py --no-networks   (seconds; arithmetic only)

1. Published way: every one of the 11 x 21 cells is a process of its own that runs the switch and ten experts over all test
   images again. Measured: cells of 11 networks over a part of the images. Extrapolated, linearly: to all images and all cells.
   In its favour: processes and imports cost nothing here, images are in memory already, and batch and layout are the fastest found.
2. Arithmetic alone: the published product, class by class in numpy, once per cell, from tables that exist.
3. Ours: prefix table, grid and exact curve, once per dataset threshold, from the same tables.

Numbers of right images of 2 and 3 are compared cell by cell before anything is printed. N images, K classes.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from metann.mnn.curve import curve_from_prefix
from metann.mnn.evaluation import evaluate_thresholds
from metann.mnn.prefix_table import prefix_correct

IMAGES, CLASSES = 10_000, 10
DATASET_THRESHOLDS = np.arange(10, 21) / 100
TEST_THRESHOLDS = np.arange(10, 31) / 100
CELLS = len(DATASET_THRESHOLDS) * len(TEST_THRESHOLDS)


def make_tables(seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Made-up tables with about 1.1 active classes per image at 0.17: a switch, an expert table per dataset threshold, labels."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, CLASSES, IMAGES)
    logits_NK = rng.normal(0, 2, (IMAGES, CLASSES)) + 9 * np.eye(CLASSES)[labels_N]
    switch_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    switch_NK = (switch_NK / switch_NK.sum(axis=1, keepdims=True)).astype(np.float32)
    truth_NK = np.eye(CLASSES)[labels_N] * 2 - 1
    noise = [rng.normal(0, 2, (IMAGES, CLASSES)) for _ in DATASET_THRESHOLDS]
    return switch_NK, [(1 / (1 + np.exp(-3 * truth_NK - e_NK))).astype(np.float32) for e_NK in noise], labels_N


def naive_cell(switch_NK: np.ndarray, expert_NK: np.ndarray, labels_N: np.ndarray, threshold: float) -> int:
    """Right images of one cell by the product as the report writes it."""
    switch_NK, expert_NK = switch_NK.astype(np.float64), expert_NK.astype(np.float64)
    p_NK = switch_NK.copy()
    for c in range(CLASSES):
        active_N = switch_NK[:, c] >= threshold
        factor_NK = np.repeat((1 - expert_NK[active_N, c : c + 1]) / (CLASSES - 1), CLASSES, axis=1)
        factor_NK[:, c] = expert_NK[active_N, c]
        p_NK[active_N] *= factor_NK
    return int(np.count_nonzero(p_NK.argmax(axis=1) == labels_N))


def naive_grid(switch_NK: np.ndarray, experts: list[np.ndarray], labels_N: np.ndarray) -> np.ndarray:
    """Right images of all cells, cell by cell."""
    return np.array([[naive_cell(switch_NK, expert_NK, labels_N, t) for t in TEST_THRESHOLDS] for expert_NK in experts])


def prefix_grid(switch_NK: np.ndarray, experts: list[np.ndarray], labels_N: np.ndarray) -> np.ndarray:
    """Right images of all cells from prefix tables, and the exact curves besides."""
    rows = []
    for expert_NK in experts:
        correct_NJ = prefix_correct(switch_NK, expert_NK, labels_N)
        rows.append(evaluate_thresholds(switch_NK, correct_NJ, TEST_THRESHOLDS).correct)
        curve_from_prefix(switch_NK, correct_NJ)
    return np.array(rows)


def median_time(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of `repeats` runs, after one that is not counted."""
    work()
    return statistics.median(_time(work) for _ in range(repeats))


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def network_cell(architecture: str, images: int, device: str, threads: int) -> Callable[[], None]:
    """One cell of the published way over `images` images: the switch and ten experts."""
    import torch

    from metann.networks._build import build

    torch.set_num_threads(threads)
    layout = torch.channels_last  # the fastest layout and, on one CPU thread, the fastest batch for MobileNetV2 of 10 .. 250
    networks = [build(architecture, CLASSES, 3, 32).to(device, memory_format=layout).eval() for _ in range(CLASSES + 1)]
    batches = torch.rand(images, 3, 32, 32).to(device, memory_format=layout).split(25 if device == "cpu" else 1000)

    def cell() -> None:
        with torch.inference_mode():
            for network in networks:
                torch.cat([network(batch).softmax(1) for batch in batches]).cpu()

    return cell


def _round(ratio: float) -> str:
    """Two digits: more would not come again."""
    return f"{float(f'{ratio:.2g}'):,.{1 if ratio < 10 else 0}f}"


def main() -> None:
    """Measure and print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median is taken")
    parser.add_argument("--network-images", type=int, default=250, help="images of a measured network cell")
    parser.add_argument("--device", default="cpu", help="of the networks: cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--no-networks", action="store_true", help="arithmetic only")
    given = parser.parse_args()

    tables = make_tables(0)
    np.testing.assert_array_equal(naive_grid(*tables), prefix_grid(*tables))
    ours = median_time(lambda: prefix_grid(*tables), given.repeats)
    rows = [
        (f"prefix tables: {CELLS} cells and {len(DATASET_THRESHOLDS)} exact curves", ours, "measured"),
        (f"naive product in numpy, {CELLS} cells, no curve", median_time(lambda: naive_grid(*tables), given.repeats), "measured"),
    ]
    if not given.no_networks:
        from metann import registry

        architecture = "mobilenet_v2" if "mobilenet_v2" in registry.architectures() else "small_cnn"
        share = given.network_images / IMAGES
        seconds = median_time(network_cell(architecture, given.network_images, given.device, given.threads), given.repeats)
        how = f"extrapolated from cells of {seconds:.3g} s: 11 {architecture}, {given.network_images} images, {given.device}"
        rows.append((f"published way: {CELLS} cells run all networks", seconds / share * CELLS, how))

    active = evaluate_thresholds(tables[0], prefix_correct(tables[0], tables[1][7], tables[2]), [0.17]).mean_experts[0]
    print(
        f"{IMAGES} images, {CLASSES} classes, {active:.3f} experts per image at 0.17; median of {given.repeats}; ",
        end="",
    )
    print(f"{os.cpu_count()} cores {platform.machine()}, {given.threads} torch threads, ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}; right images agree in all {CELLS} cells\n")
    print("| way | seconds | times prefix tables | how |\n|---|---|---|---|")
    for name, seconds, how in rows:
        print(f"| {name} | {seconds:.4g} | {_round(seconds / ours)} | {how} |")


if __name__ == "__main__":
    main()
