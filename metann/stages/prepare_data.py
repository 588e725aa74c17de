"""Stage prepare-data: a dataset as one memory-mapped array, a table of samples and a description."""

from pathlib import Path

from metann.config.data import DataSection
from metann.data.prepared import write_prepared
from metann.data.raw import load_dataset
from metann.tables.notices import say
from metann.tables.samples import SPLITS


def prepare_data(*, data: DataSection, output: Path) -> None:
    """Read a dataset, split it and write images.npy, samples.parquet and dataset.json.

    The split depends on `data.split_seed` and the labels alone; datasets that bring validation or test images keep them.

    Parameters
    ----------
    data
        Which dataset, where its files are, and how it is split.
    output
        Folder for the three files; made if missing.
    """
    prepared = write_prepared(output, load_dataset(data), data)
    info, size = prepared.info, prepared.info.image_size
    counts = ", ".join(f"{name} {len(prepared.samples.rows(name))}" for name in SPLITS)
    print(
        f"{info.name}: {counts} images of {len(info.class_names)} classes, {info.channels} x {size} x {size}, "
        f"{prepared.images_NCHW.nbytes / 1e6:.1f} MB in {output}"
    )
    for reason, number in info.skipped.items():
        print(f"left out: {number} {reason}")
    for sentence in info.assumed:
        print(f"assumed: {sentence}")
    say(info.notices)
