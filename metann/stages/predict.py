"""Stage predict: what a trained model says of image files."""

from pathlib import Path
from typing import Literal

BATCH = 500


def predict(
    model: Path,
    images: list[Path],
    /,
    *,
    json: bool = False,
    family: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    dataset_threshold: float | None = None,
    switch_function: str | None = None,
    setting: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
) -> None:
    """Classify image files; a network runs only on the images that ask it.

    Images of any size are cut to their central square and resized as image_folder does; colours and grey are converted to what
    the networks were trained on.

    Parameters
    ----------
    model
        Folder of a finished run, such as results/demo, a file of `metann pack`, or the weights.safetensors of one network.
    images
        Files, or folders that are searched for images.
    json
        One JSON object per line and image instead of a table.
    family
        Of a run with several: mnn, cascade, mixture; or network for a single one.
    network
        One network of the run alone.
    seed
        Of a run's networks; without it the first.
    dataset_threshold
        Of a meta neural network, whose experts; without it the chosen one.
    switch_function
        Of a meta neural network, which experts are asked, such as "top_k(2)"; without it the chosen one.
    setting
        Of a mixture; without it the chosen one.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    """
    import sys
    from json import dumps

    from metann.compute.process import start_torch
    from metann.datasets._photos import find_photos, read_photos
    from metann.datasets._search import printable
    from metann.errors import MetannError
    from metann.model import described_rows, load
    from metann.report.text import aligned_table

    found = find_photos(images)
    broken = [f"{printable(path)} ({problem})" for path, problem in found.problems.items()]
    target = start_torch(device, threads)
    choice = {"network": network, "seed": seed, "dataset_threshold": dataset_threshold, "switch_function": switch_function}
    choice["setting"] = setting
    asked = load(model, family=family, **choice).to(target)
    if found.skipped:
        print(f"metann: left out: {found.skipped_text()}", file=sys.stderr)
    cells, header, deep = [], asked.header, False
    for start in range(0, len(found.pictures), BATCH):
        some = found.pictures[start : start + BATCH]
        pictures = read_photos(some, header["channels"], header["image_size"], header.get("bits"))
        broken += pictures.problems.values()
        deep |= pictures.bits is not None
        good = [row for row in range(len(some)) if row not in pictures.problems]
        if not good:
            continue
        answer = asked.answer(pictures.images_NCHW[good])
        for row in described_rows(answer, [printable(some[row]) for row in good], asked.class_names):
            if json:
                print(dumps(row))
            cells.append(
                [
                    row["file"],
                    printable(row["class"]),
                    f"{row['probability']:.4f}",
                    ", ".join(map(printable, row["ran"])),
                    f"{row['macs']:,}",
                ]
            )
    if deep:
        print("metann: trained on files of 8 bits: of files of 16 bits the largest value of each says how many count", file=sys.stderr)
    if not json:
        print(aligned_table(["file", "class", "probability", "ran", "MACs"], cells, left=(0, 1, 3)))
    if broken:
        shown, number = ", ".join(broken[:5]) + (", ..." if len(broken) > 5 else ""), len(found.pictures) + len(found.problems)
        raise MetannError(f"{len(broken)} of {number} images cannot be read: {shown}; the others have their answers")
