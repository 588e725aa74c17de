"""What the evaluation of a hypernetwork reads: the tables of one trained generator and of the arms adapted from it, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metann.errors import MetannError
from metann.files.headers import Description
from metann.hypernetwork.evaluation import METHOD, multiclass_rows
from metann.tables.frames import read_frame
from metann.tables.probabilities import read_probabilities
from metann.tables.sealed import CURE

if TYPE_CHECKING:
    import pandas as pd

# What every table of one generator says of itself, and says alike.
SAME = ("experiment", "generator", "seed", "digest", "class_names")
EVALUATED = ("results", "curves", "reliance", "codes", "interpolation", "layers", "tasks", "multiclass")
_COLUMNS = {
    "tasks": ("task", "negative", "positive", "negative_name", "positive_name", "flipped", "set", "mirror"),
    "reliance": ("task_i", "z_j", "split", "n", "correct"),
    "codes": ("task", "z_0"),
    "layers": ("layer", "numbers", "variance_share", "effective_rank", "saturation"),
    "interpolation": ("task", "mirror", "position", "n", "correct"),
    "adapt": (
        *("arm", "shots", "draw", "task", "steps", "learning_rate", "trained_numbers"),
        *("n", "correct", "correct_positive", "n_positive", "cross_entropy", "auc", "steps_to_95"),
    ),
    "curve": ("task", "draw", "step", "support_loss", "test_loss", "test_accuracy"),
}


@dataclass(frozen=True)
class Generated:
    """The tables of one generator.

    Attributes:
        tasks, reliance, codes, layers, interpolation: as `metann.hypernetwork` describes them.
        adapt: all arms and shots, one row per held-out task and draw; with a column frozen: the arm left its generator alone.
        curves: the same, one row per step; with columns arm and shots.
        metadata: of tasks.parquet, and dropped_test_images: how many stand in the training set too.
    """

    tasks: "pd.DataFrame"
    reliance: "pd.DataFrame"
    codes: "pd.DataFrame"
    layers: "pd.DataFrame"
    interpolation: "pd.DataFrame"
    adapt: "pd.DataFrame"
    curves: "pd.DataFrame"
    metadata: dict[str, Any]


def read_generated(folder: Path, adapted: Sequence[Path]) -> Generated:
    """The tables of a generator.

    Args:
        folder: of one experiment, generator and seed.
        adapted: adapt/{arm}_{shots}.parquet of the arms that count; each with its _curve.parquet beside it.

    Raises:
        MetannError: a missing, foreign or changed table, a column too few, tables of different generators, a held-out task without
            its row, one that was trained, or an arm that should have left its generator alone and did not.
    """
    import pandas as pd

    tables = {name: _read(folder / f"{name}.parquet", name) for name in ("tasks", "reliance", "codes", "layers", "interpolation")}
    reference = folder / "tasks.parquet"
    tasks, metadata = tables["tasks"], tables["tasks"].attrs
    for name, frame in tables.items():
        _same(frame.attrs, metadata, folder / f"{name}.parquet", reference, ("generator_digest",))
    if not adapted:
        raise MetannError(f"no adapted arm given for {folder}; give the tables that adapt-tasks wrote")
    held_out = set(tasks.loc[tasks["set"] == "test", "task"])
    rows, curves, dropped = [], [], 0
    for path in adapted:
        frame = _read(path, "adapt")
        _same(frame.attrs, metadata, path, reference)
        _check_arm(frame, held_out, path)
        if (frame["arm"] == METHOD).all():  # the other arms may start from a generator of their own
            _same(frame.attrs, metadata, path, reference, ("generator_digest",))
        curve = _read(path.with_name(f"{path.stem}_curve.parquet"), "curve")
        _same(curve.attrs, metadata, path, reference)
        dropped = max(dropped, int(frame.attrs.get("dropped_test_images") or 0))
        frame["frozen"] = bool(frame.attrs.get("frozen"))
        # Arms differ in their metadata, which pandas would compare row by row when frames with attributes meet.
        frame.attrs, curve.attrs = {}, {}
        rows.append(frame)
        curves.append(curve.assign(arm=frame["arm"].iloc[0], shots=frame["shots"].iloc[0]))
    for frame in tables.values():
        frame.attrs = {}
    adapt = pd.concat(rows, ignore_index=True)
    again = adapt.duplicated(["arm", "shots", "draw", "task"])
    if again.any():
        row = adapt[again].iloc[0]
        raise MetannError(f"arm {row['arm']} with {row['shots']} shots is given twice; give each table once")
    return Generated(
        **tables, adapt=adapt, curves=pd.concat(curves, ignore_index=True), metadata=metadata | {"dropped_test_images": dropped}
    )


def read_evaluated(folders: Sequence[Path]) -> "tuple[dict[str, pd.DataFrame], dict[str, Any]]":
    """The tables that evaluate-hypernetwork wrote, those of all generators and seeds below each other.

    Returns:
        Tables by name (`EVALUATED`), each with columns experiment, generator and seed; and the metadata of each pair
        experiment/generator.

    Raises:
        MetannError: other data, one seed given twice, or seeds that do not hold out the same tasks.
    """
    import pandas as pd

    if not folders:
        raise MetannError("no evaluation given; give the folders that evaluate-hypernetwork wrote")
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in EVALUATED}
    seen: dict[tuple[str, str, int], Path] = {}
    kept: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for folder in folders:
        found = {name: read_frame(folder / f"{name}.parquet", f"hypernetwork_{name}") for name in EVALUATED}
        metadata = Description.of(found["results"].attrs, folder / "results.parquet", CURE)
        first = first or metadata
        for key in ("digest", "class_names", "confidence"):
            if metadata.get(key) != first.get(key):
                raise MetannError(f"{folder} has another {key} than {folders[0]}; evaluate both in one run")
        place = metadata["experiment"], metadata["generator"], metadata["seed"]
        if place in seen:
            raise MetannError(f"seed {place[2]} of {place[0]}_{place[1]} is given twice: {seen[place]} and {folder}")
        seen[place] = folder
        kept.setdefault(f"{place[0]}/{place[1]}", metadata)
        for name, frame in found.items():
            frame.attrs = {}
            for at, (column, value) in enumerate(zip(("experiment", "generator", "seed"), place, strict=True)):
                frame.insert(at, column, value)
            parts[name].append(frame)
    # An empty table knows no types, and would spoil those of the others.
    tables = {name: pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True) for name, frames in parts.items()}
    _check_crossed(tables["results"])
    return tables, kept


def _read(path: Path, name: str) -> "pd.DataFrame":
    frame = read_frame(path, f"hypernetwork_{name}")
    missing = [column for column in _COLUMNS[name] if column not in frame.columns]
    if missing:
        raise MetannError(f"{path} has no column {missing[0]!r}; found {', '.join(map(str, frame.columns[:8]))}; {CURE}")
    return frame


def _same(metadata: dict[str, Any], expected: dict[str, Any], path: Path, reference: Path, more: Sequence[str] = ()) -> None:
    for key in (*SAME, *more):
        if metadata.get(key) != expected.get(key):
            raise MetannError(f"{path} is of another {key} ({metadata.get(key)}) than {reference} ({expected.get(key)}); {CURE}")


def _check_arm(frame: "pd.DataFrame", held_out: set[int], path: Path) -> None:
    if not len(frame) or frame["arm"].nunique() > 1 or frame["shots"].nunique() > 1:
        raise MetannError(f"{path} does not hold one arm with one number of shots; {CURE}")
    for draw, of_draw in frame.groupby("draw"):
        given = set(of_draw["task"])
        if given != held_out:
            odd = sorted(given ^ held_out)[0]
            word = "lacks held-out task" if odd in held_out else "holds a task that is not held out,"
            raise MetannError(f"{path}, draw {draw}, {word} {odd}; {CURE}")
    before, after = frame.attrs.get("generator_digest"), frame.attrs.get("generator_digest_after")
    if frame.attrs.get("frozen") and before != after:
        raise MetannError(f"{path}: the generator was to be frozen and moved ({before} became {after}); nothing about z follows from it")


def _check_crossed(results: "pd.DataFrame") -> None:
    """Every seed has every arm, number of shots and task; differences are paired over all three."""
    for (experiment, generator), group in results.groupby(["experiment", "generator"], sort=False):
        cells = group.groupby("seed")[["arm", "shots", "task"]].apply(lambda rows: frozenset(map(tuple, rows.to_numpy().tolist())))
        for seed, mine in cells.items():
            if mine != cells.iloc[0]:
                arm, shots, task = sorted(mine ^ cells.iloc[0])[0]
                raise MetannError(
                    f"{experiment}_{generator}: seeds {cells.index[0]} and {seed} differ in arm {arm}, {shots} shots, task {task};"
                    " one of them lacks it; evaluate the same in each seed"
                )


def read_networks(paths: Sequence[Path], expected: dict[str, Any], confidence: float) -> "pd.DataFrame":
    """Plain networks on the images of a split, as rows of `multiclass_rows` with network and seed.

    Args:
        paths: tables of probabilities.
        expected: metadata of the generators; the networks have to be of the same data.
        confidence: of the intervals.

    Raises:
        MetannError: a table that cannot be read, or of other data.
    """
    import pandas as pd

    parts = []
    for path in paths:
        table = read_probabilities(path)
        for key in ("digest", "class_names"):
            if table.metadata.get(key) != expected.get(key):
                raise MetannError(f"{path} is of other data than the generators (another {key}); give the networks of this run")
        rows = multiclass_rows(table, confidence)
        rows.insert(0, "network", str(table.metadata.get("network") or path.stem))
        rows.insert(1, "seed", int(table.metadata.get("seed") or 0))
        parts.append(rows)
    return pd.concat(parts, ignore_index=True) if parts else multiclass_rows(None, confidence).assign(network="", seed=0)
