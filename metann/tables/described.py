"""What every table may say of itself, and of which types such values are."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Cost = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]  # numpy takes no whole number above 2^63
Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**31)]
Seed = Annotated[int, Field(ge=-(2**31), le=2**63)]
Confidence = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Names = Annotated[list[str], Field(min_length=1)]


class Header(BaseModel):
    """What every table may say."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: str
    dataset: str | None = None
    digest: str | None = None
    class_names: list[str] | None = None
    network: str | None = None
    architecture: str | None = None
    seed: Seed | None = None
    seeds: list[Seed] | None = None
    run: str | None = None
    confidence: Confidence | None = None
    macs: Cost | None = None
    parameters: Cost | None = None
    trunk_macs: Cost | None = None
    dataset_threshold: Share | None = None
    class_index: Annotated[Count | None, Field(alias="class")] = None
    state: str | None = None
    machine: str | None = None
    threads: Count | None = None
    image_names: str | None = None
    notices: list[str] = []
    assumed: list[str] = []
    skipped: list[str] = []


class Collected(Header):
    """What several seeds were put together to."""

    run: str
    confidence: Confidence
