"""Which rows of a foreign table are for validation. N images, K classes."""

from collections import Counter
from collections.abc import Container, Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np

from metann.errors import MetannError, one_of
from metann.files.ordinary import check_ordinary
from metann.tables.arrays import load_array
from metann.tables.column_names import KEYS, columns_of, image_name
from metann.tables.columns import one_line
from metann.tables.split_words import as_splits
from metann.tables.text_tables import is_number
from metann.tables.value_files import read_lines

_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")


def first_or_fair(ids_N: np.ndarray, labels_N: np.ndarray, total: int) -> tuple[np.ndarray, list[str]]:
    """(N,) bool, `total` of the rows: the first by their ids where these hold the classes as the rest does, else a share of each class.

    Tables are often sorted by class: the first half would then be the first half of the classes.

    Returns:
        Which rows; and a sentence where they are not the first.
    """
    n = len(ids_N)
    order_N = np.argsort(ids_N)
    first_N = np.zeros(n, bool)
    first_N[order_N[:total]] = True
    counts_K, found_K = np.bincount(labels_N), np.bincount(labels_N[first_N], minlength=int(labels_N.max()) + 1)
    share = total / n
    there_K = counts_K > 0
    expected_K = counts_K[there_K] * share
    # Pearson's statistic of drawing without replacement; in a shuffled table about K - 1, with a spread of sqrt(2 (K - 1)).
    statistic = float(((found_K[there_K] - expected_K) ** 2 / (expected_K * (1 - share))).sum())
    freedom = max(int(there_K.sum()) - 1, 1)
    enough_K = (counts_K * min(share, 1 - share)) >= 1
    lost = np.flatnonzero(enough_K & there_K & ((found_K == 0) | (found_K == counts_K)))
    if statistic <= freedom + 6 * np.sqrt(2 * freedom) + 6 and not len(lost):
        return first_N, []
    fair_N = np.zeros(n, bool)
    fair_N[_share_of_each(order_N, labels_N, counts_K, total)] = True
    said = (
        f"rows are sorted by class: the first {total} hold {int((found_K > 0).sum())} of {int(there_K.sum())} classes, "
        f"so a share of each class is taken for validation instead"
    )
    return fair_N, [said]


def _share_of_each(order_N: np.ndarray, labels_N: np.ndarray, counts_K: np.ndarray, total: int) -> np.ndarray:
    """Rows of every class in proportion, rounded by largest remainder; within a class drawn by the ids' order with a fixed seed.

    The random keys come straight from the bit generator, whose stream numpy guarantees.
    """
    n = len(order_N)
    quota_K = counts_K * total // n
    rest = np.argsort(-(counts_K * total % n), kind="stable")[: total - int(quota_K.sum())]
    quota_K[rest] += 1
    keys_N = np.random.PCG64(np.random.SeedSequence([0, *b"val_rows"])).random_raw(n)
    labels_in_order_N = labels_N[order_N]
    by_class_N = np.lexsort((keys_N, labels_in_order_N))
    rank_N = np.arange(n) - (np.cumsum(counts_K) - counts_K)[labels_in_order_N[by_class_N]]
    return order_N[by_class_N[rank_N < quota_K[labels_in_order_N[by_class_N]]]]


def named_rows(wanted: str, columns: Mapping[str, np.ndarray], ids_N: np.ndarray, names_N: np.ndarray | None, path: Path) -> np.ndarray:
    """(N,) bool rows that a column marks, or whose ids or names stand in a file.

    Raises:
        MetannError: neither a column nor a file, marks that are none, or ids that the table does not have or that stand twice in the file.
    """
    if wanted in columns:
        marks_N = columns[wanted]
        if marks_N.dtype.kind in "OU":
            return _marked(as_splits(marks_N), f"{path}: column {wanted!r}")
        if marks_N.dtype.kind in "biuf" and np.isin(marks_N, [0, 1]).all():
            return marks_N.astype(bool)
        raise MetannError(f"{path}: column {wanted!r} marks no rows: true and false, 1 and 0, or 'val' and another word are needed")
    file = Path(wanted)
    check_ordinary(file)
    if not file.is_file():
        raise MetannError(
            f"val_rows = {wanted}: neither a column of {path} ({one_line(columns)}) nor a file; give one of these, or a number"
        )
    known_N = (ids_N if names_N is None else names_N).astype(str)
    there = set(known_N.tolist())
    texts = list(map(str, np.ravel(load_array(file)).tolist())) if file.suffix.lower() == ".npy" else read_lines(file, there)
    mask_N = _mask(texts, there, f"{file}", len(ids_N))
    if mask_N is not None:
        return mask_N
    first: MetannError | None = None
    for rows_N, numbers in ((known_N, names_N is None), *_other_ids(columns, known_N)):
        try:
            return _asked(texts, rows_N, file, path, numbers=numbers)
        except MetannError as error:
            first = first or error
    raise first or MetannError(f"{file} names no image of {path}; give ids of its rows")


def _mask(texts: list[str], there: Container[str], file: str, n: int) -> np.ndarray | None:
    """(N,) bool of a file that has a yes or a no for each row; None for one of ids.

    Raises:
        MetannError: yes and no, and not one for each row.
    """
    words = [text.strip().lower() for text in texts]
    if not texts or not set(words) <= {"true", "false", "0", "1", "0.0", "1.0"}:
        return None
    bools = bool({"true", "false"} & set(words)) and not any(text in there for text in texts)
    # Three ids or more are never 0 and 1 alone, and of two rows one is for validation.
    if len(words) == n and (bools or len(set(words)) < n):
        return np.isin(words, ["true", "1", "1.0"])
    if bools or len(set(words)) < len(words):
        raise MetannError(
            f"{file} holds {len(words)} of {one_of(sorted(set(texts)))}, and the table has {n} rows; give one for each row, or ids"
        )
    return None


def _other_ids(columns: Mapping[str, np.ndarray], known_N: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """(N,) texts of further columns that tell every image from the others, as a table may have names and numbers; whether numbers."""
    names = dict.fromkeys(column for name in ("sample_id", *KEYS) for column in columns_of(name, columns))
    found = []
    for values_N in map(columns.__getitem__, names):
        numbers = values_N.dtype.kind in "iuf"
        if (numbers or values_N.dtype.kind in "OU") and values_N.shape == known_N.shape and len(set(values_N.tolist())) == len(values_N):
            texts = [image_name(str(value)) for value in values_N.tolist()]
            found.append((np.array([_plain(text, exponents=True) for text in texts] if numbers else texts), numbers))
    return found


def _asked(texts: list[str], known_N: np.ndarray, file: Path, path: Path, *, numbers: bool) -> np.ndarray:
    """(N,) bool rows whose ids stand in a file.

    Raises:
        MetannError: ids that the table does not have, or that stand there twice.
    """
    there = set(known_N.tolist())
    asked = [_as_known(text, there, numbers=numbers) for text in texts]
    missing = [value for value in asked if value not in there]
    if missing:
        raise MetannError(f"{file}: {missing[0]!r} is no image of {path} ({len(missing)} of {len(asked)} are not); give ids of its rows")
    if len(set(asked)) < len(asked):
        (value, times), *_ = Counter(asked).most_common(1)
        raise MetannError(f"{file}: {value!r} stands there {times} times; give every id once")
    return np.isin(known_N, asked)


def _marked(words_N: np.ndarray, what: str) -> np.ndarray:
    """(N,) bool rows with a word for validation or for yes.

    Raises:
        MetannError: the other rows are of several kinds.
    """
    yes_N, no_N = np.isin(words_N, ["val", *_YES]), np.isin(words_N, _NO)
    others = sorted(set(words_N[~yes_N & ~no_N].tolist()))
    if len(others) + bool(no_N.any()) > 1:
        raise MetannError(
            f"{what} holds {one_of(sorted(set(words_N.tolist())))}: which rows are for validation? 'val' and one other word are needed, "
            "true and false, or train, val and test"
        )
    return yes_N


def _as_known(text: str, there: Container[str], *, numbers: bool) -> str:
    """An id as the table writes it: names in one form, whole numbers without a point; `007` is the name of an image where there is one."""
    name = image_name(text)
    return name if name in there else _plain(name, exponents=numbers)


def _plain(name: str, *, exponents: bool) -> str:
    """`7` for `007`, `7.0` and, among numbers, `7e0`; exact, as a float has room for sixteen digits; every other text as it is."""
    written = "e" in name.lower()
    if not is_number(name) or "_" in name or (written and not exponents):
        return name
    number = Decimal(name)
    if not number.is_finite() or number.adjusted() > 30 or number != int(number):
        return name
    # Written as a float, an id beyond 2**53 may be that of a neighbour.
    return name if written and abs(number) > 2**53 else str(int(number))
