"""Tables of probabilities made elsewhere, checked as strictly as our own. N images, K classes.

Not a dataset: a network whose images nobody here has seen.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metann.errors import MetannError
from metann.files.ordinary import check_ordinary
from metann.tables.foreign import read_columns
from metann.tables.foreign_splits import splits_of
from metann.tables.image_ids import ids_of, of_length
from metann.tables.notices import accuracy_notices, class_notices, shown
from metann.tables.probabilities import digest_of, read_probabilities
from metann.tables.samples import Probabilities
from metann.tables.scales import as_probabilities, squeezed
from metann.tables.true_classes import labels_of
from metann.tables.unused import unused
from metann.tables.value_files import read_values

if TYPE_CHECKING:
    from metann.config.network import NetworkSection


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
    for file in (path, network.labels):
        if file is not None:
            check_ordinary(file)
    if path.suffix == ".parquet" and _is_ours(path):
        if network.val_rows or network.labels:
            raise MetannError(f"{path} is a metann table with splits and labels of its own; leave val_rows and labels out")
        return read_probabilities(path)
    given_N = None if network.labels is None else read_values(network.labels)
    found = read_columns(path, None if given_N is None else len(given_N))
    p_NK, assumed = as_probabilities(found.p_NK, path)
    n, k = p_NK.shape
    labels_N, of_labels = labels_of(found, k, network.labels, given_N)
    ids = ids_of(found)
    ids_N = ids.ids_N
    order_N = np.argsort(ids_N)
    split_N, marks, said, notices = splits_of(found, ids, labels_N, network)
    log_partition = found.column("log_partition")
    partition_N = np.zeros(n) if log_partition is None else found.columns[log_partition]
    partition_N = of_length(partition_N, n, f"{path}: log_partition")
    if partition_N.dtype.kind not in "iuf":
        raise MetannError(f"{path}: log_partition is {partition_N.dtype}, and numbers are needed; mend it, or leave it out")
    assumed += [f"column {ids.key!r} names the images"] if ids.key else []
    assumed += of_labels + said
    used = [name for name in (ids.key, ids.numbers, marks, log_partition) if name]
    assumed += unused(found, used, ids.refused, splits_known=marks is not None)
    metadata = {
        "dataset": "imported",
        "digest": digest_of(labels_N[order_N]),
        "class_names": [f"c{c}" for c in range(k)],
        "assumed": assumed,
    }
    if ids.names_N is not None:
        metadata["image_names"] = hashlib.sha256("\n".join(ids.names_N[order_N].tolist()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    table = Probabilities(ids_N, split_N, labels_N, metadata, p_NK=p_NK, log_partition=partition_N.astype(np.float32), file=path)
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


def _never(labels_N: np.ndarray, k: int) -> list[str]:
    """Columns that are never a label."""
    absent = np.setdiff1d(np.arange(k), labels_N)
    if not len(absent):
        return []
    likely = "do labels count from 0, and in the order of the columns?" if 0 in absent or k - 1 in absent else "are all classes among them?"
    return [f"{len(absent)} of {k} columns are never a label ({shown([f'p_{c}' for c in absent])}); {likely}"]
