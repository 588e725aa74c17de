"""One evaluation in memory: a switch, its experts at one dataset threshold, and what they get right.

Shapes: N images, K classes, J = K + 1 prefixes, G thresholds of the grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metann.errors import MetannError
from metann.function_call import SwitchFunction
from metann.mnn.evaluation import PrefixCounts, correct_at, evaluate_lengths, evaluate_thresholds, prefix_lengths
from metann.statistics.paired import mcnemar_p
from metann.tables.samples import Samples

# One grid for every seed and dataset threshold, so that curves can be averaged point by point. Every value on it is exact. Below
# 0.001, where most experts are asked, it goes on in logarithmic steps; 1.000001 stands for 'above every probability'.
GRID = np.unique(np.round(np.concatenate([[0.0], np.logspace(-8, -3, 41), np.linspace(0.001, 1, 1000), [1.000001]]), 12))


@dataclass(frozen=True)
class Prefix:
    """A prefix table.

    Attributes:
        sample_id: (N,); split: (N,) text; label: (N,).
        switch_NK: (N, K) probabilities of the switch as they were evaluated.
        correct_NJ: (N, K + 1) bool, right with the j most probable classes active.
        metadata: seed, dataset_threshold, class_names, switch_macs, expert_macs and more.
        file: where it was read from; None for one that was made here.
    """

    sample_id: np.ndarray
    split: np.ndarray
    label: np.ndarray
    switch_NK: np.ndarray
    correct_NJ: np.ndarray
    metadata: dict[str, Any]
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.sample_id)

    @property
    def samples(self) -> Samples:
        """Its images."""
        return Samples(self.sample_id, self.split, self.label, self.metadata, file=self.file)

    @property
    def where(self) -> str:
        """The file that it came from, for errors."""
        return self.samples.where

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Those of val and test that have images."""
        return tuple(split for split in ("val", "test") if (self.split == split).any())

    def select(self, split: str) -> "Prefix":
        """The images of one split."""
        rows = np.flatnonzero(self.split == split)
        names = ("sample_id", "split", "label", "switch_NK", "correct_NJ")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def lengths(self, function: SwitchFunction) -> np.ndarray:
        """(N,) number of active classes."""
        return prefix_lengths(function.name, function.parameters, self.switch_NK)

    def right(self, function: SwitchFunction) -> np.ndarray:
        """(N,) bool, whether each image is classified rightly."""
        return correct_at(self.correct_NJ, self.lengths(function))

    def macs(self, mean_experts: Any, asked: Any) -> Any:
        """Multiply-accumulates per image; NaN where the networks' are unknown.

        Args:
            mean_experts: experts per image.
            asked: share of images about which any is asked: a trunk that is not the switch's runs once for each of them.
        """
        parts = [np.nan if self.metadata.get(key) is None else float(self.metadata[key]) for key in ("switch_macs", "expert_macs")]
        trunk = float(self.metadata.get("trunk_macs") or 0.0)
        return parts[0] + parts[1] * np.asarray(mean_experts, np.float64) + trunk * np.asarray(asked, np.float64)

    def columns(self) -> dict[str, Any]:
        """The table of images: sample_id, split, label, switch_prediction, p_0 .., correct_0 .. correct_K."""
        return {
            "sample_id": self.sample_id,
            "split": self.split,
            "label": self.label,
            "switch_prediction": self.switch_NK.argmax(axis=1).astype(np.int16),
            **{f"p_{k}": p_N for k, p_N in enumerate(self.switch_NK.T)},
            **{f"correct_{j}": correct_N for j, correct_N in enumerate(self.correct_NJ.T)},
        }

    @classmethod
    def of(cls, columns: Mapping[str, np.ndarray], metadata: dict[str, Any]) -> "Prefix":
        """From such columns."""
        classes = len(metadata["class_names"])
        lacks = next((name for name in (f"p_{classes - 1}", f"correct_{classes}") if name not in columns), None)
        if lacks or f"p_{classes}" in columns:
            raise MetannError(f"a table of prefixes names {classes} classes and has {f'no column {lacks}' if lacks else 'columns of more'}")
        switch_NK = np.stack([columns[f"p_{k}"] for k in range(classes)], axis=1)
        correct_NJ = np.stack([columns[f"correct_{j}"] for j in range(classes + 1)], axis=1)
        return cls(columns["sample_id"], columns["split"], columns["label"], switch_NK, correct_NJ, metadata)


def cell(prefix: Prefix, function: SwitchFunction) -> dict[str, Any]:
    """What one switch function does: columns of results.parquet, one row per split."""
    lengths_N = prefix.lengths(function)
    rows = [prefix.split == split for split in prefix.splits]
    asked = [np.count_nonzero(lengths_N[mask]) for mask in rows]
    return _columns(prefix, function, [evaluate_lengths(prefix.correct_NJ[mask], lengths_N[mask]) for mask in rows], asked)


def cells(prefix: Prefix, functions: Sequence[SwitchFunction]) -> Iterator[tuple[SwitchFunction, dict[str, Any]]]:
    """Every function with its `cell`; all thresholds are counted in one pass, so that 20,000 of them cost little more than one."""
    of_threshold = {function: i for i, function in enumerate(f for f in functions if f.name == "threshold")}
    thresholds_T = [function.parameters[0] for function in of_threshold]
    parts = [prefix.select(split) for split in prefix.splits] if thresholds_T else []
    grids = [evaluate_thresholds(part.switch_NK, part.correct_NJ, thresholds_T) for part in parts]
    tops = [np.sort(part.switch_NK.max(axis=1).astype(np.float64)) for part in parts]
    asked_T = [len(top) - np.searchsorted(top, thresholds_T, side="left") for top in tops]
    for function in functions:
        if function not in of_threshold:
            yield function, cell(prefix, function)
            continue
        i = of_threshold[function]
        counts = [
            PrefixCounts(g.n, int(g.correct[i]), g.baseline_correct, int(g.fixed[i]), int(g.broken[i]), float(g.mean_experts[i]))
            for g in grids
        ]
        yield function, _columns(prefix, function, counts, [int(asked[i]) for asked in asked_T])


def _columns(prefix: Prefix, function: SwitchFunction, counts: Sequence[PrefixCounts], asked: Sequence[int]) -> dict[str, Any]:
    """The columns of `cell`; `asked` images of each split ask at least one expert."""
    fixed, broken, mean_experts = (np.array([getattr(c, name) for c in counts]) for name in ("fixed", "broken", "mean_experts"))
    share_asked = np.array([number / (count.n or np.nan) for number, count in zip(asked, counts, strict=True)])
    threshold = function.parameters[0] if function.name == "threshold" else np.nan
    return {
        "seed": np.full(len(counts), prefix.metadata["seed"]),
        "split": list(prefix.splits),
        "switch_function": [function.name] * len(counts),
        "parameter": [function.parameter] * len(counts),
        "dataset_threshold": np.full(len(counts), prefix.metadata["dataset_threshold"]),
        "test_threshold": np.full(len(counts), threshold),
        "n": np.array([c.n for c in counts]),
        "correct": np.array([c.correct for c in counts]),
        "accuracy": np.array([c.accuracy for c in counts]),
        "baseline_correct": np.array([c.baseline_correct for c in counts]),
        "fixed": fixed,
        "broken": broken,
        "mcnemar_p": mcnemar_p(fixed, broken),
        "mean_experts": mean_experts,
        "mean_macs": prefix.macs(mean_experts, share_asked),
    }


def curve(prefix: Prefix, thresholds_G: Sequence[float] | np.ndarray = GRID) -> dict[str, Any]:
    """The exact accuracy at every threshold of a grid, per split: split, threshold, n, correct, accuracy, fixed, broken, mean_experts,
    and asked, the share of images about which an expert is asked."""
    thresholds_G = np.asarray(thresholds_G, np.float64)
    parts = []
    for split in prefix.splits:
        part = prefix.select(split)
        counts = evaluate_thresholds(part.switch_NK, part.correct_NJ, thresholds_G)
        numbers = {name: np.broadcast_to(getattr(counts, name), thresholds_G.shape) for name in _COUNTS}
        # #{top >= t} of N tops, counted from the sorted ones
        top_N = np.sort(part.switch_NK.max(axis=1, initial=0.0).astype(np.float64))
        asked = (len(part) - np.searchsorted(top_N, thresholds_G, side="left")) / (len(part) or np.nan)
        parts.append({"split": np.full(len(thresholds_G), split), "threshold": thresholds_G} | numbers | {"asked": asked})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


_COUNTS = ("n", "correct", "accuracy", "fixed", "broken", "mean_experts")
