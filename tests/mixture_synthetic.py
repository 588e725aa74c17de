"""Made-up mixtures for the tests: gates that specialise, that have collapsed, and that know nothing; tables as the workflow lays them."""

from pathlib import Path
from typing import Any

import numpy as np

from metann.config.data import DataSection
from metann.data.prepared import write_prepared
from metann.data.raw import RawDataset
from metann.stages.collect_mixture import collect_mixture
from metann.stages.evaluate_mixture import evaluate_mixture
from metann.tables.probabilities import write_gate, write_probabilities
from metann.tables.samples import Gate, Probabilities

EXPERT_MACS, GATE_MACS = 2e5, 1e6
KINDS = ("specialised", "collapsed", "uniform", "noisy")


def class_names(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


def images(n: int = 900, classes: int = 6, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sample_id, split, label): half of the images train, a sixth validation, a third test, in mixed order."""
    generator = np.random.default_rng(seed)
    labels_N = generator.permutation(np.arange(n) % classes).astype(np.int16)
    split_N = generator.permutation(np.array(["train", "train", "train", "val", "test", "test"])[np.arange(n) % 6])
    return np.arange(n, dtype=np.int32), split_N, labels_N


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
    phases: list[Any] | None = None,
    names: list[str] | None = None,
    digest: str = "d",
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
        "digest": digest,
        "class_names": names or class_names(classes),
        "setting": setting or kind,
        "preset": setting or kind,
        "seed": seed,
        "parameters": 1382 * experts + 26228,
        "architecture": "mnist_expert",
        "class_sets": class_sets,
        "phases": phases,
        "options": {"name": setting or kind, "gate": {"kind": "mlp"}, "training": {"weight_decay": 0.0}, "final_softmax": False}
        | (options or {}),
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


def prepared(folder: Path, n: int = 900, classes: int = 6, names: list[str] | None = None, channels: int = 1, size: int = 28) -> str:
    """The images themselves, noise with a bright square whose place is the class. Returns the digest of the dataset."""
    _, split_N, labels_N = images(n, classes)
    images_NCHW = np.random.default_rng(11).integers(0, 60, (n, channels, size, size)).astype(np.uint8)
    side = size // 5
    for i, label in enumerate(labels_N):
        row, column = divmod(int(label) % 25, 5)
        images_NCHW[i, :, row * side : (row + 1) * side, column * side : (column + 1) * side] += 180
    raw = RawDataset(images_NCHW, labels_N, split_N, tuple(names or class_names(classes)))
    return write_prepared(folder, raw, DataSection(name="digits")).info.digest


def write_run(folder: Path, gate: Gate) -> Path:
    """gate.parquet and training.csv of one setting and seed, where the workflow puts them. Returns that folder."""
    home = folder / "mixture" / f"seed_{gate.metadata['seed']}" / gate.metadata["setting"]
    write_gate(home / "gate.parquet", gate)
    (home / "training.csv").write_text(history_text(gate))
    return home


def write_control(
    folder: Path,
    name: str,
    seed: int,
    accuracy: float,
    macs: float = 3e5,
    *,
    classes: int = 6,
    n: int = 900,
    names: list[str] | None = None,
    digest: str = "d",
) -> Path:
    """An ordinary network's probabilities.parquet, of the same images."""
    sample_id, split_N, labels_N = images(n, classes)
    generator = np.random.default_rng([seed, *map(ord, name)])
    p_NK = confident(answers(np.full(n, accuracy), labels_N, classes, generator), classes, generator)
    metadata = {"dataset": "made up", "digest": digest, "network": name, "seed": seed, "macs": macs, "architecture": "small_cnn"}
    metadata |= {"class_names": names or class_names(classes)}
    path = folder / "networks" / name / f"seed_{seed}" / "probabilities.parquet"
    write_probabilities(path, Probabilities(sample_id, split_N, labels_N, metadata, p_NK=p_NK, log_partition=np.zeros(n, np.float32)))
    return path


SETTINGS: dict[str, dict[str, Any]] = {
    "one_expert": {"kind": "uniform", "experts": 1, "skill": 0.78, "options": {"experts": {"number": 1}}},
    "expectation": {"kind": "collapsed", "skill": 0.85},
    "expectation_importance": {"kind": "noisy", "skill": 0.9, "options": {"regularisers": ["importance(0.2)"]}},
    "attentive": {"kind": "specialised", "skill": 0.88, "options": {"gate": {"kind": "attention"}}},
    "attentive_importance": {
        "kind": "specialised",
        "skill": 0.91,
        "options": {"gate": {"kind": "attention"}, "regularisers": ["importance(0.2)"]},
    },
    "prechosen": {"kind": "specialised", "skill": 0.9, "class_sets": [[0, 3], [1, 4], [2, 5]], "phases": ["experts", "gate"]},
}
CONTROLS = {"trunk": ("gate_alone", 0.8, 1e6), "wide": ("same_parameters", 0.86, 4e6), "deep": ("same_active_macs", 0.83, 1.6e6)}


def make_run(folder: Path, seeds: tuple[int, ...] = (0, 1, 2), settings: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Path:
    """A run's folder with its evaluations and controls, collected: tables/mixture_*.parquet and mixture.md."""
    shared = {key: changes.pop(key) for key in ("n", "classes", "names") if key in changes}
    evaluations, controls = [], []
    shared["digest"] = prepared(folder / "data", **shared)
    for seed in seeds:
        for name, given in (settings or SETTINGS).items():
            home = write_run(folder, make_gate(seed=seed, setting=name, **given, **shared))
            evaluate_mixture(gate=home / "gate.parquet", history=home / "training.csv", data=folder / "data", output=home / "evaluation")
            evaluations.append(home / "evaluation")
        controls += [write_control(folder, name, seed, accuracy, macs, **shared) for name, (_, accuracy, macs) in CONTROLS.items()]
    roles = [f"{name}:{role}" for name, (role, *_) in CONTROLS.items()]
    arguments = {"controls": controls, "roles": roles} | changes
    collect_mixture(evaluations=evaluations, run=folder, output=folder / "mixture.md", **arguments)
    return folder
