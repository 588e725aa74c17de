"""Stage predict: what a meta neural network says of image files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

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
    from json import dumps

    from metann.compute.process import start_torch
    from metann.mnn.model import MetaNeuralNetwork

    paths = _find(images)
    target = start_torch(device, threads)
    network = MetaNeuralNetwork.load(model, seed=seed, dataset_threshold=dataset_threshold, switch_function=switch_function).to(target)
    rows = _answers(network, paths)
    if json:
        for row in rows:
            print(dumps(row))
    else:
        print(_table(list(rows)))


def _find(given: list[Path]) -> list[Path]:
    """Image files: those that are named, and in a folder those with an image's suffix, in order of their path."""
    from metann.datasets.image_folder import SUFFIXES
    from metann.errors import MetannError, one_of

    found = []
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise MetannError(f"no images in folder {path}; known: {one_of(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise MetannError(f"no image {path}; give image files or folders of images")
    if not found:
        raise MetannError("no images given; give image files or folders of images")
    return found


def _read(paths: list[Path], channels: int, size: int) -> "Tensor":
    """(N, channels, size, size) uint8."""
    import numpy as np
    import torch
    from PIL import Image

    from metann.datasets._pictures import read_pictures
    from metann.errors import MetannError

    images_NCHW = read_pictures(paths, size)
    if channels not in (1, 3):
        raise MetannError(f"the networks take images of {channels} channels; files have 1 (grey) or 3 (colour)")
    if channels > images_NCHW.shape[1]:
        images_NCHW = np.repeat(images_NCHW, channels, axis=1)
    elif channels < images_NCHW.shape[1]:
        colours_NHWC = np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1))
        images_NCHW = np.stack([np.asarray(Image.fromarray(image).convert("L"))[None] for image in colours_NHWC])
    return torch.from_numpy(np.ascontiguousarray(images_NCHW))


def _answers(network: "MetaNeuralNetwork", paths: list[Path]) -> Iterator[dict[str, Any]]:
    names, header = network.class_names, network.header
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        answer = network(_read(some, header["channels"], header["image_size"]))
        for path, p_K, active_K, macs in zip(some, *(part.tolist() for part in answer), strict=True):
            best = max(range(len(p_K)), key=p_K.__getitem__)
            yield {
                "file": str(path),
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
