"""The section of one network."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, model_validator

from metann import registry
from metann.config.section import NonNegative, Section
from metann.errors import MetannError, one_of, unknown


def scalar(value: object) -> object:
    """A setting from a flag is text; read it as YAML does, so that flags and files give the same value."""
    return yaml.safe_load(value) if isinstance(value, str) else value


# Types of settings as the architectures write them; a float may be written as 1.
_SETTING_TYPES: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str}
Settings = dict[str, Annotated[int | float | bool | str, BeforeValidator(scalar)]]


def check_architecture(architecture: str, settings: Settings) -> None:
    """Refuse what `metann.networks.build` would refuse.

    Raises:
        MetannError: an unknown architecture, a setting that it does not take, or one of another type.
    """
    if architecture not in registry.architectures():
        raise unknown("architecture", architecture, registry.architectures(), "metann/networks/")
    known = registry.architecture_settings(architecture)
    for key, value in settings.items():
        if key not in known:
            raise MetannError(f"unknown setting {key!r} of {architecture}; known: {one_of(known) or 'none'}")
        wanted = _SETTING_TYPES.get(known[key])
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
            raise MetannError(f"setting {key} = {value!r} of {architecture} is not of type {known[key]}")


class NetworkSection(Section):
    """One network: trained here, read from weights, or given as a table of probabilities."""

    architecture: str | None = None
    """A name of metann/networks."""
    settings: Settings = {}
    """Of the architecture, such as width."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ for this network."""
    weights: str | None = None
    """A local file, 'published', or a torchvision weight name: no training."""
    probabilities: Path | None = None
    """.npy (n x K) or .parquet: no network at all."""
    labels: Path | None = None
    """.npy (n), with probabilities."""
    split: Literal["train", "val", "test"] = "test"
    """Of an imported .npy."""
    val_rows: NonNegative = 0
    """Imported .npy: so many first rows become the validation split."""
    macs: Annotated[float, Field(gt=0)] | None = None
    """Imported: multiply-accumulates per image, for the cost axis."""

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkSection":
        if (self.architecture is None) == (self.probabilities is None):
            raise MetannError("a network needs either 'architecture' or 'probabilities'")
        if self.probabilities is not None and self.probabilities.suffix == ".npy" and self.labels is None:
            raise MetannError(f"probabilities {self.probabilities} need 'labels': an .npy file with the true class of each row")
        if self.architecture is not None:
            check_architecture(self.architecture, self.settings)
        return self

    @property
    def imported(self) -> bool:
        """Whether this network is only a table."""
        return self.probabilities is not None
