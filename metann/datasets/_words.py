"""Which split the name of a folder means, in the usual spellings."""

import re
from collections.abc import Iterable

from metann.datasets._search import normal

_SPELLED = {"train": "train", "training": "train", "trainset": "train", "trn": "train"}
_SPELLED |= dict.fromkeys(("val", "valid", "validation", "validate", "validating", "vali", "dev", "valset"), "val")
_SPELLED |= dict.fromkeys(("eval", "evaluation", "evaluating"), "val")
_SPELLED |= dict.fromkeys(("test", "testing", "tests", "tst", "testset"), "test")
_FILLERS = {"set", "sets", "data", "dataset", "split", "images", "image", "imgs", "photos", "pictures", "seg", "folder", "samples"}


def split_of(name: str) -> str | None:
    """The split that a folder's name means: 'Training', 'test_set', 'VALID'; None for any other."""
    return _meaning(re.split(r"[\W_]+", normal(name)))


def loosely(name: str) -> str | None:
    """The same of 'train2017', '1_train', 'TrainData' and 'X_test', which alone might be anything."""
    return _meaning(word for word in re.split(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])", normal(name)) if len(word) > 1)


def _meaning(words: Iterable[str]) -> str | None:
    rest = [word.lower() for word in words if word and word.lower() not in _FILLERS]
    return _SPELLED.get(rest[0]) if len(rest) == 1 else None
