"""Stage predict: what a meta neural network says of image files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from metann.mnn.model import MetaNeuralNetwork

BATCH = 500


def predict(
    model: Path,
    images: list[Path],
    /,
    *,
    json: bool = False,
    seed: int | None = None,
    dataset_threshold: float | None = None,
    switch_function: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
) -> None:
    """Classify image files; an expert runs only on the images that ask it.

    Images of any size are cut to their central square and resized as image_folder does; colours and grey are converted to what
    the networks were trained on.

    Parameters
    ----------
    model
        Folder of a finished run, such as results/demo, or a file of `metann pack`.
    images
        Files, or folders that are searched for images.
    json
        One JSON object per line and image instead of a table.
    seed
        Of a run's networks; without it the first.
    dataset_threshold
        Of a run's experts; without it the chosen one.
    switch_function
        Which experts are asked, such as "top_k(2)"; without it the chosen one.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    """
    import sys
    from json import dumps

    from metann.compute.process import start_torch
    from metann.datasets._photos import find_photos
    from metann.datasets._search import printable
    from metann.errors import MetannError
    from metann.mnn.model import MetaNeuralNetwork

    found = find_photos(images)
    if found.skipped:
        print(f"metann: left out: {found.skipped_text()}", file=sys.stderr)
    target = start_torch(device, threads)
    network = MetaNeuralNetwork.load(model, seed=seed, dataset_threshold=dataset_threshold, switch_function=switch_function).to(target)
    broken = [f"{printable(path)} ({problem})" for path, problem in found.problems.items()]
    rows = _answers(network, found.pictures, broken)
    if json:
        for row in rows:
            print(dumps(row))
    else:
        print(_table(list(rows)))
    if broken:
        shown = ", ".join(broken[:5]) + (", ..." if len(broken) > 5 else "")
        raise MetannError(
            f"{len(broken)} of {len(found.pictures) + len(found.problems)} images have no answer: {shown}; the others have theirs"
        )


def _answers(network: "MetaNeuralNetwork", paths: list[Path], broken: list[str]) -> Iterator[dict[str, Any]]:
    """One row for each file that can be read; the others go into `broken`."""
    import numpy as np
    import torch

    from metann.datasets._photos import read_photos
    from metann.datasets._search import printable

    names, header = network.class_names, network.header
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        pictures = read_photos(some, header["channels"], header["image_size"], header.get("bits"))
        broken += pictures.problems.values()
        good = [row for row in range(len(some)) if row not in pictures.problems]
        if not good:
            continue
        answer = network(torch.from_numpy(np.ascontiguousarray(pictures.images_NCHW[good])))
        for path, p_K, active_K, macs in zip([some[row] for row in good], *(part.tolist() for part in answer), strict=True):
            best = max(range(len(p_K)), key=p_K.__getitem__)
            yield {
                "file": printable(path),
                "class": names[best],
                "probability": p_K[best],
                "active": [name for name, active in zip(names, active_K, strict=True) if active],
                "macs": macs,
                "probabilities": dict(zip(names, p_K, strict=True)),
            }


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [["file", "class", "probability", "active experts", "MACs"]]
    cells += [
        [row["file"], row["class"], f"{row['probability']:.4f}", ", ".join(row["active"]) or "none", f"{row['macs']:,}"] for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = (2, 4)
    return "\n".join(
        "  ".join(cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    )
