"""What a cascade reads: its description, and the tables of its networks, joined."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from metann.cascade.held_out import HeldOut, Network
from metann.config.cascade import ChainSection
from metann.config.section import read_section
from metann.errors import MetannError
from metann.files.headers import read_sealed_json
from metann.tables.join import check_seed
from metann.tables.samples import Probabilities, Samples
from metann.tables.together import read_together, tables_of


def read_cascade(path: Path) -> ChainSection:
    """Read cascade.json, as choose-cascade writes it: a chain of two networks or more with its thresholds.

    Raises:
        MetannError: missing, not JSON, unknown keys, unknown score function, or a wrong number of thresholds.
    """
    chain = read_section(ChainSection, dict(read_sealed_json(path)), str(path))
    if not chain.thresholds:
        raise MetannError(f"{path} has no thresholds; give one after each network but the last")
    return chain


Finite = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Energy(BaseModel):
    """Joules, or why there are none."""

    model_config = ConfigDict(strict=True)

    source: str | None
    reason: str | None
    joules: Finite | None = None


class _Latency(BaseModel):
    """Milliseconds."""

    model_config = ConfigDict(strict=True)

    mean: Finite
    p95: Finite
    p99: Finite


class _Report(BaseModel):
    """The types of report.json, as far as a page is written from it."""

    model_config = ConfigDict(strict=True)

    seed: int
    images: Count
    accuracy: Annotated[float, Field(ge=0, le=1)]
    second_network_use: Finite | None
    memory_hits: Count
    macs_per_image: Finite
    latency_ms: _Latency
    joules_per_image: Finite | None
    disagreements: Count | None
    compared: Count | None
    energy: _Energy
    batch_size: Count
    device: str
    stream: str


def read_report(path: Path) -> dict[str, Any]:
    """What run-cascade measured.

    Raises:
        MetannError: missing, not JSON, changed since it was written, or values of other types.
    """
    return read_sealed_json(path, _Report)


def read_tables(paths: Sequence[Path], names: Iterable[str], seed: int, why: str, reference: Samples | None = None) -> list[Probabilities]:
    """The tables of a cascade's networks, in its order, all with the same rows.

    Args:
        paths: files of these networks at least.
        names: of the networks.
        seed: that they have to be of.
        why: who needs them, for the error.
        reference: whose images, and in which order; the first table's where not given.

    Raises:
        MetannError: a table that is missing, of another seed, or of other images.
    """
    tables = tables_of(names, read_together(paths, reference=reference), why)
    for table in tables:
        check_seed(table, seed)
    return tables


def read_held_out(paths: Sequence[Path], confidence: float, seed: int | None = None) -> tuple[HeldOut, dict[str, object]]:
    """The networks' tables in the order given, joined by sample_id; training images left out.

    Args:
        paths: files of two networks or more.
        confidence: of every interval.
        seed: that they have to be of; that of the first that says one where not given, and 0 where none does.

    Returns:
        The networks, and metadata: seed, dataset, digest and class_names.
    """
    if len(paths) < 2:
        raise MetannError(f"{len(paths)} tables given; a cascade needs those of two networks or more")
    found = read_together(paths)
    said = [table.metadata.get("seed") for table in found.values()]
    seed = next((theirs for theirs in said if theirs is not None), 0) if seed is None else seed
    first = next(iter(found.values()))
    kept = np.flatnonzero(first.split != "train")
    split_N = first.split[kept]
    for split, why in (("val", "to choose thresholds; an imported table gets them by `val_rows`"), ("test", "to report")):
        if not (split_N == split).any():
            raise MetannError(f"{first.where} has no {split} images, which are needed {why}")
    networks = []
    for name, table in found.items():
        check_seed(table, seed)
        networks.append(Network(name, macs_of(table), np.ascontiguousarray(table.p_NK[kept])))
    metadata = {"seed": seed} | {key: first.metadata.get(key) for key in ("dataset", "digest", "class_names")}
    return HeldOut(networks, first.label[kept].astype(np.int64), split_N == "val", confidence), metadata


def macs_of(table: Probabilities) -> float:
    """Multiply-accumulates per image; NaN where unknown."""
    macs = table.metadata.get("macs")
    return float("nan") if macs is None else float(macs)
