"""Image files that a user names, as a trained model takes them. N images, C channels, S pixels a side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from metann.datasets._pictures import read_pictures
from metann.datasets.image_folder import SUFFIXES
from metann.errors import MetannError, one_of


def find_photos(given: Sequence[Path]) -> list[Path]:
    """Image files: those that are named, and in a folder those with an image's suffix, in order of their path; hidden ones are not.

    Raises:
        MetannError: nothing given, a path that is not there, or a folder without images.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
            if not (inside := sorted(file for file in inside if file.is_file())):
                raise MetannError(f"no images in folder {path}; known: {one_of(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise MetannError(f"no image {path}; give image files or folders of images")
    if not found:
        raise MetannError("no images given; give image files or folders of images")
    return found


def read_photos(paths: Sequence[Path], channels: int, size: int) -> np.ndarray:
    """(N, C, S, S) uint8; colours become grey and grey becomes colours where the networks need it.

    Raises:
        MetannError: files that cannot be read, or networks of other than 1 or 3 channels.
    """
    images_NCHW = read_pictures(paths, size)
    if channels not in (1, 3):
        raise MetannError(f"the networks take images of {channels} channels; files have 1 (grey) or 3 (colour)")
    if channels > images_NCHW.shape[1]:
        images_NCHW = np.repeat(images_NCHW, channels, axis=1)
    elif channels < images_NCHW.shape[1]:
        colours_NHWC = np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1))
        images_NCHW = np.stack([np.asarray(Image.fromarray(image).convert("L"))[None] for image in colours_NHWC])
    return images_NCHW
