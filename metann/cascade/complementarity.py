"""How much two networks' errors differ, in the two forms that were published under one name.

Shapes: M networks, N images. Both matrices are symmetric with a zero diagonal and values in [0, 1]. Neither says which
pair makes the best cascade: that is for a search on validation images and the networks' cost to say.
"""

import numpy as np


def exactly_one_right(correct_MN: np.ndarray) -> np.ndarray:
    """(M, M) share of images that exactly one of two networks gets right: the form of the published program."""
    only_MM = _only(correct_MN)
    return only_MM + only_MM.T


def balanced_one_right(correct_MN: np.ndarray) -> np.ndarray:
    """(M, M) `exactly_one_right` minus the difference of the two accuracies: the form of the paper (arXiv 2412.01039).

    Equals twice the smaller of 'only the first is right' and 'only the second is right'.
    """
    only_MM = _only(correct_MN)
    return 2 * np.minimum(only_MM, only_MM.T)


FORMS = {"exactly_one_right": exactly_one_right, "balanced_one_right": balanced_one_right}


def _only(correct_MN: np.ndarray) -> np.ndarray:
    """(M, M) share of images that the row's network gets right and the column's does not."""
    right_MN = np.asarray(correct_MN, bool).astype(np.float64)  # whole numbers up to 2^53: exact, and a fast product
    return (right_MN @ (1 - right_MN).T) / right_MN.shape[1]
