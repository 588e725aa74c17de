"""A configuration that fits a folder of photos: every number by a rule that stands here, with its reason beside it in the file.

K classes, N training images.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from metann.data.survey import Survey
from metann.thresholds import format_threshold

SIZES = (16, 24, 32, 48, 64)  # larger pays where small things tell classes apart, and costs with the square
WIDTH = 16
STEPS = 1500  # of a training: the demo's accuracy has levelled off by then
ASKED = 1.2  # experts for an image at the threshold that validation chooses, in the demo and on CIFAR-10
FEW = 2000  # training images; a tenth of fewer is too little to choose a threshold with
MANY = 30  # classes; beyond them one dataset threshold has to do
_SIDED = re.compile(r"[0-9A-Za-z]|.*(left|right).*", re.IGNORECASE)  # digits, letters, and what says so


@dataclass(frozen=True)
class Suggestion:
    """The numbers of a configuration.

    Attributes:
        images: split -> pictures.
        image_size: pixels a side.
        depth: stages of the networks.
        wide: width of the control that costs what switch and experts do; theirs is `WIDTH`.
        batch_size, learning_rate, epochs, expert_epochs, crop_padding, flip: of the trainings.
        dataset_thresholds: of the expert sets.
        classes: order of the labels, where that of the folders' names as text is none.
        test_fraction, val_fraction: shares of the training images, where the folders make no such split.
    """

    images: dict[str, int]
    image_size: int
    depth: int
    wide: int
    batch_size: int
    learning_rate: float
    epochs: int
    expert_epochs: int
    crop_padding: int
    flip: bool
    dataset_thresholds: tuple[float, ...]
    classes: tuple[str, ...]
    test_fraction: float
    val_fraction: float


def suggest(survey: Survey, macs_of: Callable[[int, int, int], float]) -> Suggestion:
    """Numbers for a folder.

    Args:
        survey: of the folder.
        macs_of: (width, depth, image size) -> multiply-accumulates of a network.
    """
    test_fraction, val_fraction = 0.2, 0.1 if survey.of_split["train"] >= FEW else 0.2
    images, k = survey.shared(test_fraction, val_fraction), len(survey.names)
    size = max((size for size in SIZES if size <= survey.sides[0]), default=SIZES[0])
    depth = max(int(math.log2(size)) - 2, 2)
    batch = next((batch for batch, least in ((128, 4000), (64, 1000), (32, 300)) if images["train"] >= least), 16)
    epochs = min(max(round(STEPS * batch / images["train"]), 8), 60)
    goal = macs_of(WIDTH, depth, size) * (1 + ASKED)
    wide = min(range(WIDTH + 1, 3 * WIDTH), key=lambda width: abs(macs_of(width, depth, size) - goal))
    lowest = min(max(round(0.5 / k, 2), 0.01), 0.05)
    numbers = all(name.isdecimal() for name in survey.names)
    ordered = tuple(sorted(survey.names, key=int)) if numbers else survey.names
    return Suggestion(
        images,
        size,
        depth,
        wide,
        batch,
        round(0.2 * batch / 128, 3),
        epochs,
        max(epochs // 2, 4),
        max(size // 16, 1),
        not all(_SIDED.fullmatch(name) for name in survey.names),
        tuple(round(lowest * factor, 2) for factor in ((1, 2, 4) if k <= MANY else (2,))),
        ordered if ordered != survey.names else (),
        test_fraction,
        val_fraction,
    )


def as_yaml(given: Suggestion, survey: Survey, run: str, root: str) -> str:
    """The file, with a comment behind what a reader may want to change."""
    n, low = given.images, min(survey.of_class, key=survey.of_class.__getitem__)
    own = [split for split in ("val", "test") if split in survey.of_split]
    wide = 100 * 1.96 * math.sqrt(0.25 / n["test"])
    network = f"architecture: small_cnn, settings: {{ width: {WIDTH}, depth: {given.depth} }}"
    shares = [
        f"  {split}_fraction: {fraction} # {n[split]:,} pictures, which {use}"
        for split, fraction, use in (
            ("val", given.val_fraction, "choose epochs and thresholds"),
            ("test", given.test_fraction, "are for the report"),
        )
        if split not in own
    ]
    lines = [
        f"# {_line(root)}: {len(survey.names)} classes, {sum(survey.of_split.values()):,} pictures;"
        f" {n['train']:,} train, {n['val']:,} choose, {n['test']:,} report.",
        f"# The smallest class is {_line(low)} with {survey.of_class[low]:,} pictures. With {n['test']:,} test pictures an accuracy"
        f" is known to {wide:.1f} points or better.",
        *([f"# Left out: {_line(survey.skipped)}."] if survey.skipped else []),
        *[f"# Assumed: {_line(text)}." for text in survey.assumed],
        "# Every other key has the default that config.yaml shows, with what it does.",
        f"run: {run} # name of the folder below results/",
        "seeds: [0] # one whole chain of networks for each; [0, 1, 2] says how much is chance",
        "data:",
        "  name: image_folder",
        f"  root: {_quoted(root)}",
        f"  image_size: {given.image_size} # shorter sides: nine of ten pictures {survey.sides[0]} or more, half {survey.sides[1]} or more;"
        " 64 instead of 32 costs four times as much",
        *shares,
        *([f"  classes: [{', '.join(map(_quoted, given.classes))}] # by number, not as text"] if given.classes else []),
        "  duplicates: keep # equal pictures in two splits are counted and said; drop leaves them out",
        "networks:",
        f"  switch: {{ {network} }}",
        "  longer: # a control: the switch with the epochs of an expert on top",
        f"    {{ {network}, training: {{ epochs: {given.epochs + given.expert_epochs} }} }}",
        "  wide: # a control of equal cost: one plain network that costs about what switch and experts cost together",
        f"    {{ architecture: small_cnn, settings: {{ width: {given.wide}, depth: {given.depth} }} }}",
        "training:",
        f"  epochs: {given.epochs} # about {max(given.epochs * n['train'] // given.batch_size, 1):,} steps",
        f"  batch_size: {given.batch_size}",
        f"  learning_rate: {given.learning_rate}",
        *_augmentation(given, "  "),
        "mnn:",
        "  controls: [longer, wide]",
        f"  dataset_thresholds: [{', '.join(map(format_threshold, given.dataset_thresholds))}] # an expert learns from pictures whose"
        f" probability for its class reaches this; chance is {1 / len(survey.names):.2g}",
        "  expert:",
        f"    epochs: {given.expert_epochs}",
        f"    batch_size: {given.batch_size}",
        f"    learning_rate: {round(given.learning_rate / 4, 4)}",
        *_augmentation(given, "    "),
        "# cascade: {} # also the cascades of these networks; they train nothing more",
    ]
    return "\n".join(lines) + "\n"


def _augmentation(given: Suggestion, indent: str) -> list[str]:
    why = "mirror at random; false where left and right mean something" if given.flip else "these classes may not look alike in a mirror"
    return [
        f"{indent}crop_padding: {given.crop_padding} # pixels of border for random crops; 0 where the place in the picture matters",
        f"{indent}flip: {str(given.flip).lower()} # {why}",
    ]


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).strip()


def _line(text: str) -> str:
    """A name from outside in a comment: never a line break."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
