"""The section of one network."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from metann import registry
from metann.config.section import AnyPath, NonNegative, Section, at_home
from metann.errors import MetannError, meant, one_of


def scalar(value: object) -> object:
    """A setting from a flag is text; read it as YAML does, so that flags and files give the same value."""
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, RecursionError, ValueError):
        return value  # a text that is no YAML, such as `{a`


_LARGEST = 1_000_000
# Types of settings as the architectures write them; a float may be written as 1.
_SETTING_TYPES: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str}
Settings = dict[str, Annotated[int | float | bool | str, BeforeValidator(scalar)]]


def check_architecture(architecture: str, settings: Settings) -> None:
    """Refuse what `metann.networks.build` would refuse.

    Raises:
        MetannError: an unknown architecture, a setting that it does not take, or one of another type.
    """
    registry.architecture_module(architecture)
    known = registry.architecture_settings(architecture)
    for key, value in settings.items():
        if key not in known and registry.ANYTHING not in known:
            raise MetannError(f"unknown setting {key!r} of {architecture}{meant(key, known)}; known: {one_of(known) or 'none'}")
        wanted = _SETTING_TYPES.get(known.get(key, ""))
        if wanted and (not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool)):
            raise MetannError(f"setting {key} = {value!r} of {architecture} is not of type {known[key]}")
        if wanted in (int, int | float) and value <= 0 and "/" not in architecture and registry.own_network(architecture) is None:
            raise MetannError(f"setting {key} = {value!r} of {architecture} is not above 0, and no network is of such a size")
        if isinstance(value, int | float) and not abs(value) <= _LARGEST:
            raise MetannError(f"setting {key} = {value!r} of {architecture} is beyond {_LARGEST:,}, which no network is")


def _number_or_name(value: object) -> object:
    """Digits are a number of rows, as from a flag; anything else a name."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() else str(at_home(Path(value)))
    if isinstance(value, bool) or not isinstance(value, int):
        raise MetannError(f"{value!r} is neither a number of rows nor the name of a column or file")
    return value


def _home_of_file(weights: str | None) -> str | None:
    return str(at_home(Path(weights))) if weights and weights.startswith("~") else weights


Channels = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
Spread = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


Macs = Annotated[float, Field(gt=0, le=1e18, allow_inf_nan=False)]  # what a table's header holds

_OF_A_TABLE = ("labels", "split", "val_rows", "macs")
_OF_A_NETWORK = ("settings", "training", "weights", "mean", "std")
_OF_THE_MACHINE = {"device", "threads"}


class NetworkSection(Section):
    """One network: trained here, read from weights, or given as a table of probabilities."""

    architecture: str | None = None
    """A name of metann/networks, a function of your own as path/to/nets.py:build, or timm/NAME."""
    settings: Settings = {}
    """Of the architecture, such as width."""
    training: dict[str, Any] = {}
    """Keys of `training` that differ for this network."""
    weights: Annotated[str | None, AfterValidator(_home_of_file)] = None
    """A local file, 'published', 'pretrained' (timm), or a torchvision weight name: no training."""
    mean: Channels = ()
    """Of `weights`: what was subtracted from pixel values in [0, 1], a number for each channel; none: the training images' own."""
    std: Spread = ()
    """Of `weights`: what they were divided by then."""
    probabilities: AnyPath | None = None
    """.npy (n x K), .npz, .csv or .parquet: no network at all."""
    labels: AnyPath | None = None
    """.npy, .csv or .txt (n), with probabilities."""
    split: Literal["train", "val", "test"] = "test"
    """Of an imported table without a column 'split'."""
    val_rows: Annotated[NonNegative | str, BeforeValidator(_number_or_name)] = 0
    """Imported: so many rows become the validation split; or a column that marks them or names the splits; or a file of their ids or with a
    yes or no for each row."""
    macs: Macs | None = None
    """Imported: multiply-accumulates per image, for the cost axis."""

    @model_validator(mode="after")
    def _consistent(self) -> "NetworkSection":
        if (self.architecture is None) == (self.probabilities is None):
            raise MetannError("a network needs either 'architecture' or 'probabilities'")
        if self.probabilities is not None and self.probabilities.suffix == ".npy" and self.labels is None:
            raise MetannError(f"probabilities {self.probabilities} need 'labels': an .npy file with the true class of each row")
        self._of_one_kind()
        if bool(self.mean) != bool(self.std) or len(self.mean) != len(self.std):
            raise MetannError(f"{len(self.mean)} numbers of mean and {len(self.std)} of std; give both, one for each channel")
        if self.mean and self.weights is None:
            raise MetannError("mean and std are of 'weights' made elsewhere; a network that is trained here takes those of its images")
        if self.architecture is not None:
            check_architecture(self.architecture, self.settings)
        return self

    def _of_one_kind(self) -> None:
        """Refuse keys that a network of this kind does not read; a key that says no more than its default changes nothing."""
        kind, others = ("architecture", _OF_A_TABLE) if self.probabilities is None else ("probabilities", _OF_A_NETWORK)
        given = [key for key in others if key in self.model_fields_set and getattr(self, key) != type(self).model_fields[key].default]
        if given:
            value = getattr(self, given[0])
            why = "; images are split by the section 'data'" if given[0] in ("split", "val_rows") else ""
            other = "probabilities" if kind == "architecture" else "architecture"
            raise MetannError(f"{given[0]} = {str(value)[:80]!r} is of '{other}', and this network has '{kind}'{why}; leave it out")
        if self.weights is not None and (unused := sorted(set(self.training) - _OF_THE_MACHINE)):
            raise MetannError(f"training.{unused[0]} is of networks that are trained here; 'weights' are taken as they are: leave it out")

    @property
    def imported(self) -> bool:
        """Whether this network is only a table."""
        return self.probabilities is not None
