"""What a look at a folder of photos finds, before any of them is decoded whole."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from metann.data.split import too_few


@dataclass(frozen=True)
class Survey:
    """Counts and sizes.

    Attributes:
        images: (split, class) -> number of pictures; only the split `train` where the folders make none.
        names: of the classes, in label order.
        sides: of the pictures' shorter sides in pixels: the tenth percentile, the median, the largest.
        grey: whether every picture that was looked at is grey.
        looked_at: how many pictures were opened for that, spread over all.
        unreadable: those of them that are no pictures, with the reason.
        skipped: what is left out, in words; '' where nothing is.
        assumed: what was taken for granted, in sentences.
    """

    images: Mapping[tuple[str, str], int]
    names: tuple[str, ...]
    sides: tuple[int, int, int]
    grey: bool
    looked_at: int
    unreadable: tuple[str, ...] = ()
    skipped: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def of_split(self) -> dict[str, int]:
        """Split -> number of pictures; a split of empty folders is none, as in `data.split`."""
        counts: Counter[str] = Counter()
        for (split, _), number in self.images.items():
            counts[split] += number
        return dict(+counts)

    @property
    def of_class(self) -> dict[str, int]:
        """Class -> pictures of the split `train`."""
        return {name: self.images.get(("train", name), 0) for name in self.names}

    def shared(self, test_fraction: float, val_fraction: float) -> dict[str, int]:
        """Split -> pictures when those that the folders lack have taken their share of `train`, as `data.split` does.

        Raises:
            MetannError: there are too few to share out.
        """
        counts, classes = self.of_split, sum(number > 0 for number in self.of_class.values())
        for split, fraction in (("test", test_fraction), ("val", val_fraction)):
            if split not in counts:
                counts[split] = min(max(round(counts["train"] * fraction), 1), counts["train"] - classes)  # no class gives its last
                if not counts[split]:
                    raise too_few(counts["train"], split)
                counts["train"] -= counts[split]
        return counts
