"""Which split the name of a folder means, in the usual spellings."""

import re
import unicodedata
from collections.abc import Collection, Sequence

_SPELLED = {"train": "train", "training": "train", "trainset": "train", "trn": "train"}
_SPELLED |= dict.fromkeys(("val", "valid", "validation", "validate", "validating", "vali", "dev", "valset"), "val")
_SPELLED |= dict.fromkeys(("eval", "evaluation", "evaluating"), "val")
_SPELLED |= dict.fromkeys(("test", "testing", "tests", "tst", "testset"), "test")
_FILLERS = {"set", "sets", "data", "dataset", "split", "images", "image", "imgs", "photos", "pictures", "seg", "folder", "samples"}


def split_of(name: str) -> str | None:
    """The split that a folder's name means: 'Training', 'test_set', 'VALID'; None for any other."""
    return _meaning(re.split(r"[\W_]+", _plain(name)))


def loosely(names: Collection[str]) -> dict[str, str]:
    """Name -> split of 'train2017', '1_train', 'TrainData', 'X_test' and 'cars_test' beside 'cars_train', which alone might be anything."""
    words = {name: [word for word in re.split(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])", _plain(name)) if len(word) > 1] for name in names}
    front = _shared(list(words.values()))
    back = _shared([some[front:][::-1] for some in words.values()])
    return {name: split for name, some in words.items() if (split := _meaning(some[front : len(some) - back]))}


def _plain(name: str) -> str:
    """Without the widths of letters, which East Asian keyboards set: `ＴＲＡＩＮ`."""
    return unicodedata.normalize("NFKC", name)


def _shared(lists: Sequence[Sequence[str]]) -> int:
    """How many words all lists begin with."""
    same = 0
    for words in zip(*lists, strict=False):
        if len({word.lower() for word in words}) > 1:
            break
        same += 1
    return same


def _meaning(words: Sequence[str]) -> str | None:
    rest = [word.lower() for word in words if word and word.lower() not in _FILLERS]
    return _SPELLED.get(rest[0]) if len(rest) == 1 else None
