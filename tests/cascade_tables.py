"""Made-up networks for the tests of cascades: tables on disk as the workflow lays them."""

from pathlib import Path

import numpy as np

from metann.tables.probabilities import Probabilities, write_probabilities

NETWORKS = {"small": (3.0, 10e6), "middle": (3.6, 25e6), "large": (4.2, 90e6)}


def made_up(strength: float, labels_N: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """(N, K) float32 probabilities; a higher strength is right more often."""
    logits_NK = 1.5 * generator.normal(size=(len(labels_N), classes))
    logits_NK[np.arange(len(labels_N)), labels_N] += strength
    p_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def write_tables(folder: Path, seed: int = 0, n: int = 600, classes: int = 5, macs: bool = True, networks=NETWORKS, splits=("val", "test")):
    """probabilities.parquet of every made-up network; half validation, half test, in mixed order.

    Returns:
        Their paths, in the order of `networks`.
    """
    images = np.random.default_rng(7)
    labels_N, split_N = images.integers(0, classes, n), images.permutation(np.array(splits)[np.arange(n) % len(splits)])
    generator = np.random.default_rng(seed)
    paths = []
    for name, (strength, cost) in networks.items():
        path = folder / name / f"seed_{seed}" / "probabilities.parquet"
        metadata = {"network": name, "seed": seed, "macs": cost if macs else None, "dataset": "made up", "digest": "d", "class_names": None}
        p_NK = made_up(strength, labels_N, classes, generator)
        ids = np.arange(n, dtype=np.int32) * 3
        write_probabilities(
            path, Probabilities(ids, split_N, labels_N.astype(np.int16), metadata, p_NK=p_NK, log_partition=ids.astype(np.float32))
        )
        paths.append(path)
    return paths
