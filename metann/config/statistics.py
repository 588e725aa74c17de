"""The section of intervals and tests."""

from typing import Annotated

from pydantic import Field

from metann.config.section import Section


class StatisticsSection(Section):
    """Intervals and tests."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of every interval."""
    permutations: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    """For the p of the best of all test cells."""
