"""The section of the measurement of milliseconds."""

from typing import Annotated, Literal

from pydantic import Field

from metann.config.section import Positive, Section


class LatencySection(Section):
    """How long an image takes: every setting is run as it would be in use, on the CPU, one thread, nothing else beside it."""

    settings: Literal["frontier", "all"] = "frontier"
    """Which are measured: those that validation knows none better than at their cost in their family, those that were chosen and the
    plain networks; or all of them."""
    batch_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 512)
    """Images that are answered at once."""
    images: Positive = 64
    """Test images that are answered one after the other where batches are smaller than that."""
    repeats: Annotated[int, Field(ge=3)] = 7
    """Rounds over them, after one that is not counted; the median counts."""
