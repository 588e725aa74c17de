"""The section of the images."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from metann import registry
from metann.config.section import AnyPath, NonNegative, Section
from metann.errors import MetannError, unknown


def _class_name(value: object) -> object:
    """Numbers stand for their digits; `yes` and `no`, which YAML takes for true and false, have to be quoted."""
    if isinstance(value, bool) or value is None:
        raise MetannError(f"a class name that YAML reads as {value}; put it in quotes")
    return str(value) if isinstance(value, int | float) else unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _listed(names: object) -> object:
    """A set has no order, and the order is that of the labels; of a mapping only its writer knows whether keys or values are meant."""
    kinds = {str: "one text", Mapping: "a mapping", set | frozenset: "a set, which has no order", int | float | None: "one value"}
    what = next((words for kind, words in kinds.items() if isinstance(names, kind)), None)
    if what:
        raise MetannError(f"{names!r} is {what}; give the class names as a list in label order, such as [ant, bee]")
    return names


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MetannError(f"class {twice!r} stands twice; give each once")
    return names


ClassName = Annotated[str, BeforeValidator(_class_name), Field(min_length=1)]


class DataSection(Section):
    """Which images, and how they are split."""

    name: str = "fashion_mnist_small"
    """A file of metann/datasets."""
    root: AnyPath | None = None
    """Folder of the raw files; the embedded sets need none."""
    download: bool = True
    """Let torchvision fetch missing files into root."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images kept for choosing."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Image_folder without a test folder: share kept for the report."""
    split_seed: NonNegative = 42
    """The split is the same for every training seed."""
    image_size: Annotated[int, Field(ge=1, le=16_384)] = 32
    """Of image_folder: pixels of the square that images are resized to."""
    classes: Annotated[tuple[ClassName, ...], BeforeValidator(_listed), AfterValidator(_distinct)] = ()
    """All class names in label order; none: the data set's own order, which for folders is that of text."""
    duplicates: Literal["keep", "drop", "refuse"] = "keep"
    """Equal images in two splits or of two classes: say it, leave them out, or stop."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in registry.datasets():
            raise unknown("dataset", name, registry.datasets(), "metann/datasets/")
        return name
