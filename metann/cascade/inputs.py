"""What a cascade reads: its description, and the tables of its networks, joined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metann.cascade.held_out import HeldOut, Network
from metann.config.cascade import ChainSection
from metann.config.section import read_section
from metann.errors import MetannError
from metann.files import read_json
from metann.tables.join import align
from metann.tables.probabilities import read_probabilities
from metann.tables.samples import Samples


def read_cascade(path: Path) -> ChainSection:
    """Read cascade.json, as choose-cascade writes it: a chain of two networks or more with its thresholds.

    Raises:
        MetannError: missing, not JSON, unknown keys, unknown score function, or a wrong number of thresholds.
    """
    chain = read_section(ChainSection, read_json(path), str(path))
    if not chain.thresholds:
        raise MetannError(f"{path} has no thresholds; give one after each network but the last")
    return chain


def read_tables(paths: Sequence[Path], names: Sequence[str], samples: Samples) -> list[np.ndarray]:
    """(N, K) probabilities of each named network, in the rows of `samples`.

    Raises:
        MetannError: no table of a network, or tables of other images.
    """
    found = {str(table.metadata.get("network") or path.stem): (path, table) for path in paths for table in [read_probabilities(path)]}
    for name in names:
        if name not in found:
            raise MetannError(f"no table of {name!r} to compare with; given: {', '.join(found)}")
    return [table.p_NK[align(samples, table, Path("samples.parquet"), path)] for path, table in (found[name] for name in names)]


def read_held_out(paths: list[Path], confidence: float) -> tuple[HeldOut, dict[str, object]]:
    """The networks' tables in the order given, joined by sample_id; training images left out."""

    if len(paths) < 2:
        raise MetannError(f"{len(paths)} tables given; a cascade needs those of two networks or more")
    first = read_probabilities(paths[0])
    kept = np.flatnonzero(first.split != "train")
    split_N = first.split[kept]
    for split, why in (("val", "to choose thresholds; an imported table gets them by `val_rows`"), ("test", "to report")):
        if not (split_N == split).any():
            raise MetannError(f"{paths[0]} has no {split} images, which are needed {why}")
    networks = []
    for path in paths:
        table = first if path == paths[0] else read_probabilities(path)
        rows = kept if path == paths[0] else align(first, table, paths[0], path)[kept]
        name = str(table.metadata.get("network") or path.stem)
        if name in [network.name for network in networks]:
            raise MetannError(f"two tables are of a network {name!r}; give each network once")
        macs = table.metadata.get("macs")
        networks.append(Network(name, float("nan") if macs is None else float(macs), np.ascontiguousarray(table.p_NK[rows])))
    metadata = {key: first.metadata.get(key) for key in ("dataset", "digest", "class_names")}
    return HeldOut(networks, first.label[kept].astype(np.int64), split_N == "val", confidence), metadata
