"""Any trained model of any family: `metann.load("results/demo").answer(images)`. Probabilities, which parts ran, MACs per image.

A model is an object with `answer(images_NCHW) -> Answer`, `class_names`, `header` (channels, image_size ...), `described`, `to(device)`,
`save(path)` and a class method `load(path, seed=...)` for folders of runs and packed files.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from metann import layout
from metann.compute.answer import Answer
from metann.errors import MetannError, one_of, unknown
from metann.tables.frames import read_arrow
from metann.weights.files import read_header
from metann.weights.single import WEIGHTS


class Kind(NamedTuple):
    """A kind of model.

    Attributes:
        module, name: the class that loads it.
        evidence: pattern of `metann.layout` of a file that a run has where it holds one.
        packed: `kind` in the header of a packed file.
    """

    module: str
    name: str
    evidence: str
    packed: str


# The next family is one line.
FAMILIES = {
    "mnn": Kind("metann.mnn.model", "MetaNeuralNetwork", layout.TABLE.replace("{table}", "mnn_choice"), "meta neural network"),
    "cascade": Kind("metann.cascade.model", "Cascade", f"{layout.CASCADE}/cascade.json", "cascade"),
    "mixture": Kind("metann.mixture.model", "MixtureOfExperts", layout.TABLE.replace("{table}", "mixture_choice"), "mixture"),
    "hypernetwork": Kind(
        "metann.hypernetwork.model", "GeneratedClassifier", f"{layout.GENERATOR}/classes.safetensors", "generated classifier"
    ),
}
KINDS = FAMILIES | {"network": Kind("metann.weights.single", "SingleNetwork", WEIGHTS, "network")}


class Model(Protocol):
    """What every kind of model can do."""

    header: dict[str, Any]
    class_names: list[str]
    described: str

    def answer(self, images_NCHW: np.ndarray) -> Answer:
        """Classify a batch of uint8 images, an array or a tensor."""

    def to(self, device: Any) -> "Model":
        """Move it to a device."""

    def save(self, path: Path | str) -> None:
        """Write it into one safetensors file, whole or not at all."""


def load(path: Path | str, *, family: str | None = None, **choice: Any) -> Model:
    """Read a trained model; on the CPU.

    Args:
        path: folder of a run, such as results/demo; a file of `metann pack`; or the weights.safetensors of one network.
        family: of a run with several: mnn, cascade, mixture, or network for one network of the run, which `network` names.
        choice: what the family lets one choose (None: its own choice): `seed` of a run; `network`, the name of a single one;
            `dataset_threshold` and `switch_function` of a meta neural network; `setting`, as results.parquet names it, of any family.

    Returns:
        An object with `answer(images)`, `class_names`, `header`, `to(device)` and `save(path)`.

    Raises:
        MetannError: nothing there, several families and none named, a choice that the family does not have, or files that are broken or
            do not belong together.
    """
    path = Path(path)
    choice = {name: value for name, value in choice.items() if value is not None}
    if family is None:
        family = ("network" if "network" in choice else _family_of_run(path)) if path.is_dir() else _family_of_file(path)
    elif family not in KINDS:
        raise unknown("family", family, KINDS)
    kind = KINDS[family]
    model = getattr(import_module(kind.module), kind.name)
    if "setting" in choice and path.is_dir() and family in FAMILIES and "setting" not in inspect.signature(model.load).parameters:
        return load_setting(path, *_row(path, family, choice.pop("setting"), **choice))
    known = [name for name in inspect.signature(model.load).parameters if name != "path"]
    if strange := [name for name in choice if name not in known]:
        raise MetannError(f"{strange[0]} cannot be chosen for {path}, a {family}; known: {one_of(known)}")
    if family == "network" and path.is_dir() and "network" not in choice:
        raise MetannError(f"which network of {path}? Give `network`; known: {one_of(_networks(path))}")
    return model.load(path, **choice)


def load_setting(run: Path | str, family: str, seed: int, described: str) -> Model:
    """Load a row of results.parquet; on the CPU.

    Args:
        run: folder of the run.
        family, seed: of the row; a negative seed is none.
        described: its `load`, JSON.

    Raises:
        MetannError: nothing can be loaded of this row, or as in `load`.
    """
    if not described:
        raise MetannError(f"{run} holds no model of this setting of {family}, which is a table or a bound; choose another")
    choice = json.loads(described)
    return load(run, family=choice.pop("family", family), seed=None if seed < 0 else seed, **choice)


def _row(run: Path, family: str, setting: str, seed: int | None = None, **other: Any) -> tuple[str, int, str]:
    """Family, seed and `load` of the setting of a run's results, of its first seed where none is given."""
    if other:
        raise MetannError(f"{next(iter(other))} cannot be chosen beside a setting, which says it")
    table = layout.place(run, layout.TABLE, table=f"{family}_settings")
    rows = read_arrow(table, f"{family}_settings")[0].select(["setting", "seed", "load"]).to_pylist()
    there = {row["seed"]: row["load"] for row in rows if row["setting"] == setting}
    if not there:
        raise unknown(f"setting of {family}", setting, dict.fromkeys(row["setting"] for row in rows), f"the configuration of {run}")
    seed = min(there) if seed is None else seed
    if seed not in there:
        raise unknown("seed", seed, there, f"`seeds` of the configuration of {run}")
    return family, seed, there[seed]


def _networks(run: Path) -> set[str]:
    return {fields["network"] for _, fields in layout.found(run, WEIGHTS)}


def _family_of_run(run: Path) -> str:
    there = [name for name, kind in FAMILIES.items() if next(layout.found(run, kind.evidence), None)]
    if len(there) == 1:
        return there[0]
    if there:
        raise MetannError(f"{run} holds {' and '.join(there)}; name the family")
    networks = _networks(run)
    cure = f"of its networks one can be taken by its name: {one_of(networks)}" if networks else "give one, or a packed file"
    raise MetannError(f"{run} is not the folder of a finished run (nothing of {', '.join(FAMILIES)}); {cure}")


def _family_of_file(path: Path) -> str:
    kind = read_header(path, ()).get("kind", KINDS["network"].packed)
    for name, known in KINDS.items():
        if known.packed == kind:
            return name
    raise unknown("kind of model", kind, (known.packed for known in KINDS.values()))


def described_rows(answer: Answer, files: Sequence[Path | str], class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a model says of image files, a row each: file, class, probability, ran, macs, probabilities; of an mnn `active` too."""
    for row, (path, p_K, macs) in enumerate(zip(files, answer.p_NK.tolist(), answer.macs_N.tolist(), strict=True)):
        best = max(range(len(p_K)), key=p_K.__getitem__)
        said = {"file": str(path), "class": class_names[best], "probability": p_K[best], "ran": answer.ran(row)}
        if answer.active_NK is not None:
            said["active"] = [class_names[c] for c in np.flatnonzero(answer.active_NK[row])]
        yield said | {"macs": macs, "probabilities": dict(zip(class_names, p_K, strict=True))}
