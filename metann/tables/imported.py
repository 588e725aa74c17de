"""Tables of probabilities made elsewhere, checked as strictly as our own. N images, K classes.

Not a dataset: a network whose images nobody here has seen.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError, one_of, unknown
from metann.tables.foreign import KEYS, UNSURE, image_name, read_columns, read_values
from metann.tables.notices import accuracy_notices, class_notices, shown
from metann.tables.probabilities import digest_of, read_probabilities
from metann.tables.samples import SPLITS, Probabilities
from metann.tables.scales import as_probabilities, squeezed
from metann.tables.validation_rows import first_or_fair, named_rows

if TYPE_CHECKING:
    from metann.config.network import NetworkSection

_SPLITS_AS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


def read_foreign(network: "NetworkSection") -> Probabilities:
    """The table that a network's `probabilities` names, in this project's form.

    Returns:
        ids are numbers of a column `sample_id`, or the places of the images' names (a column `file`, `path`, `id` ...) in their order,
        or row numbers; log_partition is 0 unless a column says otherwise. The digest is that of the labels in the order of the ids, so
        that tables of the same images can be compared in whatever order their rows are. A table that metann wrote comes back as it is.

    Raises:
        MetannError: missing, truncated or pickled file, wrong shapes or types, lengths that differ, labels out of range,
            NaN, or rows that are no probabilities. One line that names the file.
    """
    path = network.probabilities
    if path is None:
        raise MetannError("a network without probabilities is no table; give the path of one")
    if path.suffix == ".parquet" and _is_ours(path):
        if network.val_rows or network.labels:
            raise MetannError(f"{path} is a metann table with splits and labels of its own; leave val_rows and labels out")
        return read_probabilities(path)
    columns = read_columns(path)
    p_NK, assumed = as_probabilities(columns["p_NK"], path)
    n, k = p_NK.shape
    labels_N = columns.get("label") if network.labels is None else read_values(network.labels)
    if labels_N is None:
        raise MetannError(f"{path} has no true classes; add a column 'label', or give 'labels': an .npy file with one per row")
    labels_N = _whole(labels_N, n, k, f"{network.labels or path}: label").astype(np.int16)
    ids_N, names_N, key = _ids(columns, n, path)
    assumed += [f"column {key!r} names the images"] if key else []
    order_N = np.argsort(ids_N)
    split_N, notices = _splits(columns, ids_N, names_N, labels_N, network)
    log_partition = _of_length(columns.get("log_partition", np.zeros(n)), n, f"{path}: log_partition").astype(np.float32)
    metadata = {
        "dataset": "imported",
        "digest": digest_of(labels_N[order_N]),
        "class_names": [f"c{c}" for c in range(k)],
        "assumed": assumed,
    }
    if names_N is not None:
        metadata["image_names"] = hashlib.sha256("\n".join(names_N[order_N].tolist()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    table = Probabilities(ids_N, split_N, labels_N, metadata, p_NK=p_NK, log_partition=log_partition, file=path)
    notices += [*_never(labels_N, k), *class_notices(split_N, labels_N, metadata["class_names"]), *accuracy_notices(table)]
    if sentence := squeezed(p_NK):
        notices.append(sentence)
    return replace(table, metadata=metadata | {"notices": notices})


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
        return False  # `read_columns` says what is wrong


def _ids(columns: Mapping[str, np.ndarray], n: int, path: Path) -> tuple[np.ndarray, np.ndarray | None, str | None]:
    """(N,) int32 ids, the (N,) names of the images and the column that gave them, where there is one."""
    text_ids = "sample_id" in columns and columns["sample_id"].dtype.kind in "OU"
    known = (*(["sample_id"] if text_ids else []), *KEYS)
    key = next((name for name in known if name in columns and _names(columns[name], n) is not None), None)
    names_N = _names(columns[key], n) if key else None
    if names_N is not None and len(set(names_N.tolist())) != n:
        if key in UNSURE:  # of a patient, of a class ...
            key = names_N = None
        else:
            values, counts = np.unique(names_N, return_counts=True)
            raise MetannError(
                f"{path}: column {key!r} says {values[counts.argmax()]!r} {counts.max()} times; a file stands once in a table"
            )
    numbers = "sample_id" if "sample_id" in columns and not text_ids else key if key and columns[key].dtype.kind in "iu" else None
    if numbers:
        names_N, key = (None, None) if key == numbers else (names_N, key)
        ids_N = _whole(columns[numbers], n, 2**31, f"{path}: {numbers}").astype(np.int32)
        if len(np.unique(ids_N)) != n:
            raise MetannError(f"{path}: sample_id repeats; ids are unique over all splits, number the images anew")
        return ids_N, names_N, key
    if names_N is None:
        return np.arange(n, dtype=np.int32), None, None
    place = {name: rank for rank, name in enumerate(sorted(names_N.tolist()))}
    return np.array([place[name] for name in names_N.tolist()], np.int32), names_N, key


def _names(values: np.ndarray, n: int) -> np.ndarray | None:
    """(N,) names in one form, of a column of texts or whole numbers; None for any other."""
    if values.shape != (n,) or values.dtype.kind not in "OUSiu":
        return None
    texts = [value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value) for value in values.tolist()]
    return np.array([image_name(text) for text in texts], object)


def _splits(
    columns: Mapping[str, np.ndarray], ids_N: np.ndarray, names_N: np.ndarray | None, labels_N: np.ndarray, network: "NetworkSection"
) -> tuple[np.ndarray, list[str]]:
    """(N,) text, and what has to be said of it."""
    path, wanted = network.probabilities, network.val_rows
    given = columns.get("split")
    if given is not None and wanted != "split":
        if wanted:
            raise MetannError(f"{path} has its own column 'split'; leave val_rows out")
        words = [word.strip().lower() for word in _of_length(given, len(ids_N), f"{path}: split").astype(str).tolist()]
        split = np.array([_SPLITS_AS.get(word, word) for word in words])
        strange = sorted(set(split.tolist()) - set(SPLITS))
        if strange:
            raise unknown("split", strange[0], SPLITS, f"or mend column 'split' of {path}")
        return split, []
    if not wanted:
        return np.full(len(ids_N), network.split), []
    if isinstance(wanted, int):
        if wanted >= len(ids_N):
            raise MetannError(f"val_rows = {wanted}, but {path} has {len(ids_N)} rows; leave some for {network.split}")
        val_N, notices = first_or_fair(ids_N, labels_N, wanted)
    else:
        val_N, notices = named_rows(wanted, columns, ids_N, names_N, path), []
        if val_N.all() or not val_N.any():
            raise MetannError(
                f"val_rows = {wanted} takes {int(val_N.sum())} of {len(val_N)} rows of {path}; some have to be left for each side"
            )
    return np.where(val_N, "val", network.split), notices


def _never(labels_N: np.ndarray, k: int) -> list[str]:
    """Columns that are never a label."""
    absent = np.setdiff1d(np.arange(k), labels_N)
    if not len(absent):
        return []
    likely = "do labels count from 0, and in the order of the columns?" if 0 in absent or k - 1 in absent else "are all classes among them?"
    return [f"{len(absent)} of {k} columns are never a label ({shown([f'p_{c}' for c in absent])}); {likely}"]


def _of_length(values: np.ndarray, n: int, what: str) -> np.ndarray:
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape != (n,):
        raise MetannError(f"{what} has shape {values.shape}, the probabilities have {n} rows; one per row is needed")
    return values


def _whole(values: np.ndarray, n: int, limit: int, what: str) -> np.ndarray:
    """(N,) whole numbers in 0..limit-1, one per row; a column vector is laid flat."""
    values = _of_length(values, n, what)
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.rint(values)):
        names = f" (such as {one_of(values[:3].tolist())}; give each class its number)" if values.dtype.kind in "OU" else ""
        raise MetannError(f"{what} is {values.dtype}, not whole numbers from 0 to {limit - 1}{names}")
    if values.min() < 0 or values.max() >= limit:
        from_one = "; do they count from 1? Subtract 1" if values.min() == 1 and values.max() == limit else ""
        raise MetannError(f"{what} runs from {values.min()} to {values.max()}; it must lie in 0 .. {limit - 1}{from_one}")
    return values
