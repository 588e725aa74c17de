"""The prepared dataset on disk: images.npy, samples.parquet, dataset.json.

Shapes: N images, C channels, H = W pixels, K classes. `sample_id` is an image's row in images.npy. Imports numpy and
pyarrow only, because every training job reads this.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from metann.data.classes import counting, fingerprint
from metann.data.duplicates import find_duplicates, settle
from metann.data.raw import RawDataset
from metann.data.split import assign_splits
from metann.errors import MetannError, exhausted, failed_system
from metann.files.atomic import atomic
from metann.files.digests import FileDigests
from metann.files.headers import read_sealed_json, write_sealed_json
from metann.tables.notices import class_notices
from metann.tables.probabilities import SPLITS, Samples, digest_of, read_samples, write_samples

if TYPE_CHECKING:
    from metann.config.data import DataSection

IMAGES, SAMPLES, INFO = "images.npy", "samples.parquet", "dataset.json"
_CURE = "delete the folder and run prepare-data again"


@dataclass(frozen=True)
class DataInfo:
    """What dataset.json says.

    Attributes:
        name: of the dataset.
        digest: 16 hex digits over images, labels and splits.
        class_names: K names in label order.
        channels: C.
        image_size: H = W in pixels.
        mean, std: C numbers each, of the training images' pixel values / 255.
        skipped: reason -> how many files were left out for it.
        assumed: what was taken for granted, in sentences.
        notices: what a reader of the results has to know, in sentences.
        bits: how many bits the files of 16 use; None without such files.
        files: fingerprint of the raw files; '' for data sets that are known by their name.
        settings: of the configuration, as far as they change the data.
        equal_images: what was found of them across splits and classes, in sentences, whatever was done about it.
    """

    name: str
    digest: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    bits: int | None = None
    files: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    equal_images: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A prepared dataset; `images_NCHW[i]` is the image of `samples` row i.

    Attributes:
        images_NCHW: (N, C, H, H) uint8, memory-mapped, read-only.
        samples: ids, splits and labels.
        info: see `DataInfo`.
    """

    images_NCHW: np.memmap
    samples: Samples
    info: DataInfo


def channel_statistics(images_NCHW: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of each channel of uint8 images, in units of pixel value / 255.

    From exact histograms, so no rounding error grows with N. A channel of one value gets std 1: dividing by it is safe.
    """
    values = np.arange(256) / 255
    mean, std = [], []
    for channel in range(images_NCHW.shape[1]):
        histogram = np.zeros(256, np.int64)
        for start in range(0, len(images_NCHW), 4096):  # bincount widens its input to int64
            histogram += np.bincount(images_NCHW[start : start + 4096, channel].ravel(), minlength=256)
        share = histogram / histogram.sum()
        centre = float(share @ values)
        mean.append(centre)
        std.append(float(np.sqrt(share @ (values - centre) ** 2)) if np.count_nonzero(histogram) > 1 else 1.0)
    return tuple(mean), tuple(std)


def _split_codes(split_N: np.ndarray) -> np.ndarray:
    return np.searchsorted(sorted(SPLITS), split_N).astype(np.uint8)


def write_prepared(folder: Path, raw: RawDataset, settings: "DataSection") -> PreparedData:
    """Split a dataset and write the three files, each whole or not at all, dataset.json last.

    Returns:
        what `read_prepared` reads from the folder.

    Raises:
        MetannError: too few images for a split, a class without training images, or the folder cannot be written.
    """
    split = assign_splits(raw.official_split, raw.labels_N, settings)
    labels_N, images_NCHW = np.asarray(raw.labels_N, np.int16), raw.images_NCHW
    given = set(labels_N[split == "train"].tolist())
    duplicates = find_duplicates(images_NCHW, labels_N, split, raw.files)
    keep_N, notices = settle(duplicates, settings.duplicates)
    if not keep_N.all():
        labels_N, split, images_NCHW = labels_N[keep_N], split[keep_N], images_NCHW[keep_N]
        emptied = [name for name in SPLITS if not (split == name).any()]
        if emptied:
            raise MetannError(f"data.duplicates: drop leaves no image for {emptied[0]}: {notices[0]}")
    notices += class_notices(split, labels_N, raw.class_names)
    train = split == "train"
    absent = np.flatnonzero(np.bincount(labels_N[train], minlength=len(raw.class_names)) == 0)
    if len(absent):
        names = ", ".join(raw.class_names[k] for k in absent[:6]) + (", ..." if len(absent) > 6 else "")
        if set(absent.tolist()) <= given:
            raise MetannError(f"data.duplicates: drop leaves no training image of class {names}: {notices[0]}; keep them, or give others")
        raise MetannError(f"{settings.name} has no training images of class {names}; every class needs at least one")
    images_NCHW = np.ascontiguousarray(images_NCHW)
    digest = digest_of(images_NCHW, labels_N, _split_codes(split))
    mean, std = channel_statistics(images_NCHW[train])
    info = DataInfo(
        name=settings.name,
        digest=digest,
        class_names=raw.class_names,
        channels=images_NCHW.shape[1],
        image_size=images_NCHW.shape[2],
        mean=mean,
        std=std,
        skipped=dict(raw.skipped),
        assumed=raw.assumed,
        notices=tuple(notices),
        bits=raw.bits,
        files=fingerprint(settings, FileDigests()),
        settings=counting(settings),
        equal_images=duplicates.notices,
    )
    folder = Path(folder)
    try:
        (folder / INFO).unlink(missing_ok=True)  # a job killed half-way must not leave an old description with new images
    except OSError as error:
        raise MetannError(f"cannot write {folder / INFO}: {error.strerror}; give a folder that can be written") from None
    with atomic(folder / IMAGES) as temporary:
        np.save(temporary, images_NCHW, allow_pickle=False)
    metadata = {"dataset": info.name, "digest": digest, "class_names": list(info.class_names)}
    write_samples(folder / SAMPLES, Samples(np.arange(len(labels_N), dtype=np.int32), split, labels_N, metadata))
    write_sealed_json(folder / INFO, asdict(info))
    return read_prepared(folder, check=False)


class _Header(BaseModel):
    """The types of `DataInfo`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    digest: str
    class_names: Annotated[list[str], Field(min_length=2)]
    channels: Annotated[int, Field(ge=1, le=1024)]
    image_size: Annotated[int, Field(ge=1, le=100_000)]
    mean: list[Annotated[float, Field(allow_inf_nan=False)]]
    std: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    skipped: dict[str, int] = {}
    assumed: list[str] = []
    notices: list[str] = []
    bits: int | None = None
    files: str = ""
    settings: dict[str, Any] = {}
    equal_images: list[str] = []

    @model_validator(mode="after")
    def _of_one_shape(self) -> "_Header":
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} standard deviations of {self.channels} channels")
        return self


def read_info(folder: Path) -> DataInfo:
    """Read dataset.json alone.

    Raises:
        MetannError: missing, not JSON, changed since it was written, or not the expected keys and types.
    """
    path = Path(folder) / INFO
    content = read_sealed_json(path, _Header, _CURE)
    return DataInfo(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})


def read_prepared(folder: Path, check: bool = True) -> PreparedData:
    """Open a prepared dataset.

    Its images are read once and compared with their digest: 0.03 s for 22,000 of 28 x 28 pixels, a third of a second for CIFAR-10, on
    pages that the job is going to use.

    Args:
        folder: made by `write_prepared`.
        check: compare the digest.

    Raises:
        MetannError: a file is missing, truncated or foreign, or the three do not belong together.
    """
    folder = Path(folder)
    info = read_info(folder)
    samples = read_samples(folder / SAMPLES)
    path = folder / IMAGES
    try:
        images_NCHW = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise MetannError(f"no images {path}; {_CURE}") from None
    except Exception as error:  # whatever numpy raises on foreign bytes
        if exhausted(error) and not isinstance(error, MemoryError):
            raise failed_system(path, error) from None
        raise MetannError(
            f"{path} is not a whole image array ({(str(error).splitlines() or [type(error).__name__])[0]}); {_CURE}"
        ) from None
    expected = (len(samples), info.channels, info.image_size, info.image_size)
    if not isinstance(images_NCHW, np.memmap) or images_NCHW.dtype != np.uint8 or images_NCHW.shape != expected:
        found = f"{getattr(images_NCHW, 'dtype', '?')} {getattr(images_NCHW, 'shape', '?')}"
        raise MetannError(f"{path} holds {found}, {SAMPLES} and {INFO} describe uint8 {expected}; {_CURE}")
    if samples.metadata.get("digest") != info.digest or samples.metadata.get("class_names") != list(info.class_names):
        raise MetannError(
            f"{folder / SAMPLES} is of dataset {samples.metadata.get('digest')}, {folder / INFO} of {info.digest} "
            f"(or their class names differ); {_CURE}"
        )
    if not np.array_equal(samples.sample_id, np.arange(len(samples))):
        raise MetannError(f"{folder / SAMPLES}: sample_id is not the row of {IMAGES}; {_CURE}")
    if check and digest_of(images_NCHW, samples.label, _split_codes(samples.split)) != info.digest:
        raise MetannError(f"{path} or the labels and splits in {SAMPLES} were changed after prepare-data wrote them; {_CURE}")
    return PreparedData(images_NCHW, samples, info)
