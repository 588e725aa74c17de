"""The section of the images."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from metann import registry
from metann.config.section import NonNegative, Positive, Section
from metann.errors import unknown


class DataSection(Section):
    """Which images, and how they are split."""

    name: str = "fashion_mnist_small"
    """A file of metann/datasets."""
    root: Path | None = None
    """Folder of the raw files; the embedded sets need none."""
    download: bool = True
    """Let torchvision fetch missing files into root."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images kept for choosing."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Image_folder without a test folder: share kept for the report."""
    split_seed: NonNegative = 42
    """The split is the same for every training seed."""
    image_size: Positive = 32
    """Of image_folder: pixels of the square that images are resized to."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in registry.datasets():
            raise unknown("dataset", name, registry.datasets(), "metann/datasets/")
        return name
