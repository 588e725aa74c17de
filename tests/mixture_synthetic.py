"""Made-up mixtures for the tests: gates that specialise, that have collapsed, and that know nothing; tables as the workflow lays them."""

from pathlib import Path
from typing import Any

import numpy as np

from metann.mixture.inputs import Gate, write_gate
from metann.tables.probabilities import write_probabilities
from metann.tables.samples import Probabilities

EXPERT_MACS, GATE_MACS = 2e5, 1e6
KINDS = ("specialised", "collapsed", "uniform", "noisy")


def images(n: int = 900, classes: int = 6, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sample_id, split, label): half of the images train, a sixth validation, a third test, in mixed order."""
    generator = np.random.default_rng(seed)
    labels_N = generator.permutation(np.arange(n) % classes).astype(np.int16)
    split_N = generator.permutation(np.array(["train", "train", "train", "val", "test", "test"])[np.arange(n) % 6])
    return np.arange(n, dtype=np.int32) * 3, split_N, labels_N


def gate_of(kind: str, labels_N: np.ndarray, experts: int, generator: np.random.Generator) -> np.ndarray:
    """(N, E) float32 gate rows: each class to its own expert, all to expert 0, nowhere in particular, or to its own expert with doubt."""
    own_NE = np.eye(experts)[labels_N % experts]
    rows = {
        "specialised": lambda: 0.96 * own_NE + 0.04 * generator.dirichlet(np.ones(experts), len(labels_N)),
        "collapsed": lambda: np.tile(np.eye(experts)[0] * 0.97 + 0.03 / experts, (len(labels_N), 1)),
        "uniform": lambda: np.full((len(labels_N), experts), 1 / experts),
        "noisy": lambda: 0.45 * own_NE + 0.55 * generator.dirichlet(np.full(experts, 0.6), len(labels_N)),
    }
    gate_NE = rows[kind]()
    return (gate_NE / gate_NE.sum(axis=1, keepdims=True)).astype(np.float32)


def answers(p_right_N: np.ndarray, labels_N: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """(N,) classes that are right with the given probability."""
    other_N = (labels_N + generator.integers(1, classes, len(labels_N))) % classes
    return np.where(generator.random(len(labels_N)) < p_right_N, labels_N, other_N).astype(np.int16)


def confident(prediction_N: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """(N, K) float32 probabilities whose largest is the given class."""
    p_NK = 0.3 * generator.dirichlet(np.ones(classes), len(prediction_N))
    p_NK[np.arange(len(prediction_N)), prediction_N] += 0.7
    return (p_NK / p_NK.sum(axis=1, keepdims=True)).astype(np.float32)


def make_gate(
    kind: str = "specialised",
    seed: int = 0,
    *,
    experts: int = 3,
    classes: int = 6,
    n: int = 900,
    setting: str | None = None,
    skill: float = 0.9,
    options: dict[str, Any] | None = None,
    class_sets: list[list[int]] | None = None,
    names: list[str] | None = None,
) -> Gate:
    """A mixture whose experts are good at their own classes and poor at the others."""
    sample_id, split_N, labels_N = images(n, classes)
    generator = np.random.default_rng([seed, *map(ord, setting or kind)])
    gate_NE = gate_of(kind, labels_N, experts, generator)
    expert_N = gate_NE.argmax(axis=1).astype(np.int16)
    own_NE = (labels_N[:, None] % experts) == np.arange(experts)
    answer_NE = np.stack([answers(np.where(own, skill, skill - 0.4), labels_N, classes, generator) for own in own_NE.T], axis=1)
    p_NK = confident(answer_NE[np.arange(n), expert_N], classes, generator)
    metadata = {
        "dataset": "made up",
        "digest": "d",
        "class_names": names or [f"class {k}" for k in range(classes)],
        "setting": setting or kind,
        "preset": setting or kind,
        "seed": seed,
        "parameters": 1382 * experts + 26228,
        "architecture": "mnist_expert",
        "class_sets": class_sets,
        "options": {"gate": {"kind": "mlp"}, "optim": {"weight_decay": 0.0}} | (options or {}),
    }
    macs_N = np.full(n, GATE_MACS + EXPERT_MACS * experts)
    return Gate(sample_id, split_N, labels_N, metadata, gate_NE=gate_NE, expert=expert_N, answer_NE=answer_NE, p_NK=p_NK, macs=macs_N)


def history_text(gate: Gate, epochs: int = 6) -> str:
    """training.csv of a run: usage moves from even to what the gate shows."""
    usage_E = gate.gate_NE.mean(axis=0, dtype=np.float64)
    head = ["epoch", "phase", "val_accuracy", "val_loss", *(f"usage_{e}" for e in range(gate.experts)), "best"]
    lines = [",".join(head)]
    for epoch in range(epochs):
        share = (epoch + 1) / epochs
        now_E = share * usage_E + (1 - share) / gate.experts
        lines.append(
            ",".join([str(epoch), "joint", f"{0.5 + 0.4 * share:.4f}", f"{1 - 0.5 * share:.4f}", *(f"{u:.6f}" for u in now_E), "0"])
        )
    return "\n".join(lines) + "\n"


def write_run(folder: Path, gate: Gate) -> Path:
    """gate.parquet and training.csv of one setting and seed, where the workflow puts them. Returns that folder."""
    home = folder / "mixture" / f"seed_{gate.metadata['seed']}" / gate.metadata["setting"]
    write_gate(home / "gate.parquet", gate)
    (home / "training.csv").write_text(history_text(gate))
    return home


def write_control(folder: Path, name: str, seed: int, accuracy: float, macs: float = 3e5, classes: int = 6, n: int = 900) -> Path:
    """An ordinary network's probabilities.parquet, of the same images."""
    sample_id, split_N, labels_N = images(n, classes)
    generator = np.random.default_rng([seed, *map(ord, name)])
    p_NK = confident(answers(np.full(n, accuracy), labels_N, classes, generator), classes, generator)
    metadata = {"dataset": "made up", "digest": "d", "network": name, "seed": seed, "macs": macs, "architecture": "small_cnn"}
    metadata |= {"class_names": [f"class {k}" for k in range(classes)]}
    path = folder / "networks" / name / f"seed_{seed}" / "probabilities.parquet"
    write_probabilities(path, Probabilities(sample_id, split_N, labels_N, metadata, p_NK=p_NK, log_partition=np.zeros(n, np.float32)))
    return path
