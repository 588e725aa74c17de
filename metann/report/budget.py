"""The model for a budget: of all families, settings and seeds of a run the one that validation takes. Pure: no files.

Candidates are models that can be packed, a setting of one seed each. Validation chooses; what test says of the choice is then no longer
the best of many, and is printed.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from metann.errors import MetannError
from metann.report.frontier import both_splits
from metann.report.latency import named
from metann.report.text import count, macs, percent

Kind = Literal["macs", "ms", "accuracy"]


@dataclass(frozen=True)
class Budget:
    """What is asked.

    Attributes:
        kind: at most so many multiply-accumulates or milliseconds an image, or at least such an accuracy.
        value: of an accuracy, a share.
    """

    kind: Kind
    value: float

    @classmethod
    def given(cls, macs: float | None, ms: float | None, accuracy: float | None) -> "Budget":
        """The one that is given.

        Raises:
            MetannError: none or several, or a value that is none.
        """
        values = {kind: value for kind, value in (("macs", macs), ("ms", ms), ("accuracy", accuracy)) if value is not None}
        if len(values) != 1:
            said = " and ".join(f"--{kind}" for kind in values) or "nothing"
            raise MetannError(f"{said} given; give one of --macs 3e6, --ms 0.5, --accuracy 0.90")
        kind, value = next(iter(values.items()))
        if not (np.isfinite(value) and value > 0) or (kind == "accuracy" and value > 1):
            cure = "an accuracy lies between 0 and 1, such as 0.90" if kind == "accuracy" else "give a number above 0"
            raise MetannError(f"--{kind} {value:g}: {cure}")
        return cls(kind, float(value))

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """`macs=3e6`, `ms=0.5`, `accuracy=0.90`; a number alone is of multiply-accumulates.

        Raises:
            MetannError: something else.
        """
        kind, equals, number = text.rpartition("=")
        kind = kind.strip() if equals else "macs"
        try:
            value = float(number)
        except ValueError:
            value = None
        if kind not in ("macs", "ms", "accuracy") or value is None:
            raise MetannError(f"budget {text!r} is none; write macs=3e6, ms=0.5 or accuracy=0.90")
        return cls.given(**{"macs": None, "ms": None, "accuracy": None} | {kind: value})

    @property
    def words(self) -> str:
        """'at most 3 M multiply-accumulates an image'."""
        if self.kind == "macs":
            return f"at most {macs(self.value)} multiply-accumulates an image"
        return f"at most {self.value:g} ms an image" if self.kind == "ms" else f"at least {percent(self.value)} on validation"


def candidates(results: pd.DataFrame, milliseconds: pd.DataFrame | None = None) -> pd.DataFrame:
    """Models that can be packed, a row each, with `ms`, NaN where not measured.

    Args:
        results: of `metann.report.overview.meet`.
        milliseconds: family, setting, seed and ms, of one batch size.
    """
    rows = both_splits(results)
    rows = rows[(rows["load"] != "") & (rows["seed"].isin(results["seed"]))]
    if milliseconds is None:
        return rows.assign(ms=np.nan)
    return rows.merge(milliseconds[["family", "setting", "seed", "ms"]], on=["family", "setting", "seed"], how="left")


def choose(models: pd.DataFrame, budget: Budget) -> pd.Series:
    """The most right on validation within the budget, of equals the cheapest; of an accuracy the cheapest that reaches it.

    Args:
        models: of `candidates`.

    Raises:
        MetannError: nothing to choose from, or nothing within the budget; it says what there is.
    """
    if models.empty:
        raise MetannError("this run holds no model of known cost that could be packed")
    cost = models["ms"] if budget.kind == "ms" else models["val_macs"]
    if cost.isna().all():
        raise MetannError("milliseconds of this run are not measured; add a section `latency: {}` to its configuration, or give --macs")
    able = models[models["val_accuracy"] >= budget.value] if budget.kind == "accuracy" else models[cost <= budget.value]
    if able.empty:
        if budget.kind == "accuracy":
            raise MetannError(f"no model has {budget.words}; the best has {percent(models['val_accuracy'].max())}")
        least = macs(cost.min()) if budget.kind == "macs" else f"{cost.min():.3g} ms"
        raise MetannError(f"no model takes {budget.words}; the cheapest takes {least}")
    order = [-able["val_accuracy"], cost[able.index]]
    return able.iloc[np.lexsort(order if budget.kind == "accuracy" else order[::-1])[0]]


def cheaper_equal(models: pd.DataFrame, pick: pd.Series, budget: Budget) -> pd.Series | None:
    """The cheapest model whose accuracy on validation is within one standard error of the chosen one's; None where that is itself."""
    unit = "ms" if budget.kind == "ms" else "val_macs"
    error = np.sqrt(pick["val_accuracy"] * (1 - pick["val_accuracy"]) / pick["val_n"])
    able = models[(models["val_accuracy"] >= pick["val_accuracy"] - error) & (models[unit] < pick[unit])]
    return None if able.empty or budget.kind == "accuracy" else able.iloc[np.lexsort([-able["val_accuracy"], able[unit]])[0]]


def pack_command(run: Path, pick: pd.Series) -> str:
    """The command that writes a model into one file."""
    network = pick["family"] == "network"
    which = ["--network", pick["setting"]] if network else ["--family", pick["family"], "--setting", pick["setting"]]
    seed = ["--seed", str(int(pick["seed"]))] if pick["seed"] >= 0 else []
    return shlex.join(["metann", "pack", str(run), *map(str, which), *seed, "--output", "model.safetensors"])


def described(models: pd.DataFrame, pick: pd.Series, confidence: float) -> list[str]:
    """What a model is, and what validation and test say of it, in lines."""
    others = models[(models["family"] == pick["family"]) & (models["setting"] == pick["setting"])]
    took = f", {pick['ms']:.3g} ms" if np.isfinite(pick["ms"]) else ""
    lines = [
        f"{named(pick['family'], pick['setting'])}{f', seed {pick.seed}' if pick['seed'] >= 0 else ''}",
        f"  validation: {percent(pick['val_accuracy'])} of {int(pick['val_n']):,} images",
        f"  test:       {percent(pick['accuracy'])} of {int(pick['n']):,} images ({100 * confidence:g} % interval "
        f"{100 * pick['low']:.2f} to {100 * pick['high']:.2f}), {macs(pick['macs'])} multiply-accumulates an image{took}",
    ]
    if others["seed"].nunique() > 1:
        lines.append(f"  test, mean of {count(others['seed'].nunique(), 'seed')}: {percent(others['accuracy'].mean())}")
    return lines
