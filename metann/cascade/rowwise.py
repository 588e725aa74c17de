"""Row by row work on narrow tables, arranged for speed: numpy reduces the long axis of a table many times faster.

Shapes: N images, K classes.
"""

import numpy as np

_NARROW = 64  # classes up to which the long way round is the faster one
_BLOCK = 4096  # rows whose double-precision copies stay in the cache


def first_argmax(p_NK: np.ndarray) -> np.ndarray:
    """`p_NK.argmax(axis=1)`, the first of equals, for tables without NaN; a third of the time for ten classes."""
    classes = p_NK.shape[1]
    if classes > _NARROW:
        return p_NK.argmax(axis=1)
    p_KN = np.ascontiguousarray(p_NK.T)
    rank_K1 = np.arange(classes, 0, -1, dtype=np.uint8)[:, None]  # the first of equals has the highest rank
    return classes - ((p_KN == p_KN.max(axis=0)) * rank_K1).max(axis=0).astype(np.int64)


def top_two(p_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) largest and (N,) second largest value of every row; the same where two share the first place."""
    if p_NK.shape[1] > _NARROW:
        top_N2 = np.partition(p_NK, -2, axis=1)[:, -2:]
        return top_N2[:, 1], top_N2[:, 0]
    first, *others = np.ascontiguousarray(p_NK.T)
    first, second = np.maximum(first, others[0]), np.minimum(first, others[0])
    for column in others[1:]:
        np.maximum(second, np.minimum(first, column), out=second)
        np.maximum(first, column, out=first)
    return first, second


def sum_p_log_p(p_NK: np.ndarray) -> np.ndarray:
    """(N,) float64 sum of p ln p with 0 ln 0 = 0. A row's result does not depend on the rows beside it, to the last bit."""
    tiny = np.finfo(np.float64).tiny  # instead of 0; float32 has no other value below 1.4e-45
    total_N = np.zeros(len(p_NK))
    if p_NK.shape[1] <= _NARROW:
        for column in np.ascontiguousarray(p_NK.T):
            p_N = column.astype(np.float64)
            log_N = np.maximum(p_N, tiny)
            np.log(log_N, out=log_N)
            total_N += np.multiply(p_N, log_N, out=log_N)
        return total_N
    for start in range(0, len(p_NK), _BLOCK):
        block_NK = p_NK[start : start + _BLOCK].astype(np.float64, order="C")
        log_NK = np.maximum(block_NK, tiny)
        np.log(log_NK, out=log_NK)
        np.einsum("nk,nk->n", block_NK, log_NK, out=total_N[start : start + _BLOCK])
    return total_N


def row_sum(p_NK: np.ndarray) -> np.ndarray:
    """(N,) float64 sums of the rows. A row's sum does not depend on the rows beside it, to the last bit, as `p_NK.sum(axis=1)` may."""
    if p_NK.shape[1] > _NARROW:
        return np.einsum("nk->n", np.ascontiguousarray(p_NK, np.float64))
    total_N = np.zeros(len(p_NK))
    for column in np.ascontiguousarray(p_NK.T, np.float64):
        total_N += column
    return total_N
