"""Tables of probabilities made elsewhere: .npy and .parquet files, checked as strictly as our own. N images, K classes.

Not a dataset: a network whose images nobody here has seen.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError, unknown
from metann.tables.checks import TOLERANCE, are_distributions
from metann.tables.columns import is_number
from metann.tables.probabilities import digest_of, one_line, read_probabilities
from metann.tables.samples import SPLITS, Probabilities

if TYPE_CHECKING:
    from metann.config.network import NetworkSection

_COLUMNS = {column.field: column for column in Probabilities.COLUMNS}
_OPTIONAL = [column for column in Probabilities.COLUMNS if not column.several]


def read_foreign(network: "NetworkSection") -> Probabilities:
    """The table that a network's `probabilities` names, in this project's form.

    Returns:
        ids are row numbers unless a column says otherwise, log_partition is 0 unless a column says otherwise. The digest is
        that of the labels, so that tables of the same images in the same order can be compared. A table that metann wrote
        comes back as it is.

    Raises:
        MetannError: missing, truncated or pickled file, wrong shapes or types, lengths that differ, labels out of range,
            NaN, or rows that are no probabilities. One line that names the file.
    """
    path = network.probabilities
    if path is None or path.suffix not in (".npy", ".parquet"):
        raise MetannError(f"probabilities {path} are not an .npy or .parquet file; save them as one of these")
    if path.suffix == ".parquet" and _is_ours(path):
        if network.val_rows or network.labels:
            raise MetannError(f"{path} is a metann table with splits and labels of its own; leave val_rows and labels out")
        return read_probabilities(path)
    columns = {"p_NK": _load(path)} if path.suffix == ".npy" else _columns(path)
    p_NK = _checked_rows(columns["p_NK"], path)
    n, k = p_NK.shape
    labels_N = columns.get("label") if network.labels is None else _load(network.labels)
    if labels_N is None:
        raise MetannError(f"{path} has no true classes; add a column 'label', or give 'labels': an .npy file with one per row")
    labels_N = _whole(labels_N, n, k, f"{network.labels or path}: label").astype(_COLUMNS["label"].dtype)
    ids_N = _whole(columns.get("sample_id", np.arange(n)), n, 2**31, f"{path}: sample_id").astype(_COLUMNS["sample_id"].dtype)
    if len(np.unique(ids_N)) != n:
        raise MetannError(f"{path}: sample_id repeats; ids are unique over all splits, number the images anew")
    metadata = {"dataset": "imported", "digest": digest_of(labels_N), "class_names": [f"c{c}" for c in range(k)]}
    log_partition = columns.get("log_partition", np.zeros(n)).astype(_COLUMNS["log_partition"].dtype)
    split_N = _splits(columns.get("split"), n, network)
    return Probabilities(ids_N, split_N, labels_N, metadata, p_NK=p_NK, log_partition=log_partition, file=path)


def rename(table: Probabilities, name: str, network: "NetworkSection", **facts: object) -> Probabilities:
    """The table as the run's network `name`.

    Args:
        facts: metadata of this import; what the table says of itself comes first, MACs from the configuration before that.
    """
    described = {"seed": None, "architecture": None, "normalisation": None, "macs": None} | facts | table.metadata
    described |= {"network": name, "source": str(network.probabilities)}
    return replace(table, metadata=described | ({"macs": network.macs} if network.macs is not None else {}))


def _is_ours(path: Path) -> bool:
    try:
        return b"metann" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False  # `_columns` says what is wrong


def _splits(given: np.ndarray | None, n: int, network: "NetworkSection") -> np.ndarray:
    if given is None:
        if network.val_rows >= n:
            raise MetannError(f"val_rows = {network.val_rows}, but {network.probabilities} has {n} rows; leave some for {network.split}")
        return np.where(np.arange(n) < network.val_rows, "val", network.split)
    if network.val_rows:
        raise MetannError(f"{network.probabilities} has its own column 'split'; leave val_rows out")
    split = given.astype(str)
    strange = sorted(set(split.tolist()) - set(SPLITS))
    if strange:
        raise unknown("split", strange[0], SPLITS, f"or mend column 'split' of {network.probabilities}")
    return split


def _columns(path: Path) -> dict[str, np.ndarray]:
    """`p_NK`, and what else a Parquet file has of label, split, sample_id and log_partition."""
    try:
        arrow = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the path of probabilities") from None
    except (OSError, pa.ArrowException) as error:
        raise MetannError(f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); save it again") from None
    wanted = _COLUMNS["p_NK"]
    classes = wanted.names_in(arrow.column_names)
    if not classes:
        raise MetannError(f"{path}: columns {one_line(arrow.column_names)} are not {wanted.text}; rename them")
    optional = [column for column in _OPTIONAL if column.name in arrow.column_names]
    texts = [column.name for column in optional if column.dtype is str]
    for name in (*classes, *(column.name for column in optional)):
        column = arrow.column(name)
        if column.null_count or not (is_number(column.type) or name in texts):
            raise MetannError(f"{path}: column {name!r} is {column.type} with {column.null_count} nulls; numbers without gaps are needed")
    found = {column.field: arrow.column(column.name).to_numpy() for column in optional}
    return found | {"p_NK": np.stack([arrow.column(name).to_numpy() for name in classes], axis=1)}


def _load(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities and labels") from None
    except (OSError, ValueError, EOFError) as error:
        pickled = " (a pickle can run code and is never read)" if "pickle" in str(error).lower() else ""
        raise MetannError(f"{path} is not a whole .npy file of numbers{pickled}; write it with numpy.save, allow_pickle=False") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise MetannError(f"{path} is an archive of arrays, not one; write the array alone with numpy.save")
    return array


def _whole(values: np.ndarray, n: int, limit: int, what: str) -> np.ndarray:
    """(N,) whole numbers in 0..limit-1, one per row; a column vector is laid flat."""
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (n,):
        raise MetannError(f"{what} has shape {values.shape}, the probabilities have {n} rows; one per row is needed")
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.rint(values)):
        raise MetannError(f"{what} is {values.dtype}, not whole numbers from 0 to {limit - 1}")
    if values.min() < 0 or values.max() >= limit:
        raise MetannError(f"{what} runs from {values.min()} to {values.max()}; it must lie in 0 .. {limit - 1}")
    return values


def _checked_rows(p_NK: np.ndarray, path: Path) -> np.ndarray:
    """(N, K) float32 probabilities; half-precision rows, which cannot sum to 1 within 1e-4, are scaled to do so."""
    if p_NK.ndim != 2 or p_NK.shape[1] < 2 or not len(p_NK) or p_NK.dtype.kind != "f":
        raise MetannError(f"{path} holds {p_NK.dtype} {p_NK.shape}; probabilities are floats (images, classes), two classes or more")
    gaps_N = np.isnan(p_NK).any(axis=1)
    if gaps_N.any():
        raise MetannError(f"{path}: row {int(np.argmax(gaps_N))} holds NaN; every probability must be a number")
    half = p_NK.dtype == np.float16
    good_N, sums_N = are_distributions(p_NK, 5e-3 if half else TOLERANCE)
    if not good_N.all():
        row = int(np.argmin(good_N))
        raise MetannError(
            f"{path}: row {row} sums to {sums_N[row]:.6g} and its least value is {p_NK[row].min():.3g} ({int((~good_N).sum())} such rows "
            f"of {len(p_NK)}); probabilities are >= 0 and sum to 1; are they logits? Apply a softmax first"
        )
    return (p_NK / sums_N[:, None]).astype(np.float32) if half else p_NK.astype(np.float32)
