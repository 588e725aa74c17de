"""Image files that a user names, as a trained model takes them. N images, C channels, S pixels a side."""

import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from metann.datasets._pictures import Pictures, read_each
from metann.datasets._search import SUFFIXES, Found, find_pictures, link_problem, printable, sort_in
from metann.errors import MetannError, one_of


def find_photos(given: Sequence[Path]) -> Found:
    """Image files: those that are named, and all pictures in the folders that are, in order of their path.

    What is wrong with one of several stands in `problems`, and costs the others nothing.

    Raises:
        MetannError: nothing given, or nothing of it is an image: a path that is not there or no file, or a folder without images.
    """
    everything, faults = Found(), []
    for path in given:
        try:
            _look_at(path, everything)
        except MetannError as fault:
            faults.append((path, fault))
    if not given:
        raise MetannError("no images given; give image files or folders of images")
    if faults and not everything.pictures and not everything.problems:
        raise faults[0][1]
    everything.problems.update((path, str(fault).partition("; ")[0]) for path, fault in faults)
    return everything


def _look_at(path: Path, everything: Found) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        why = f" ({link_problem(path, error)})" if not isinstance(error, FileNotFoundError) or path.is_symlink() else ""
        raise MetannError(f"no image {printable(path)}{why}; give image files or folders of images") from None
    if stat.S_ISDIR(mode):
        inside = find_pictures(path)
        if not inside.pictures and not inside.problems:
            left = f"left out: {inside.skipped_text()}" if inside.skipped else f"known: {one_of(SUFFIXES)}"
            raise MetannError(f"no images in folder {printable(path)}; {left}")
        everything.add(inside)
    elif stat.S_ISREG(mode):
        kind = Found()
        sort_in(kind, path)
        if kind.unread:  # of a camera's raw file Pillow would read a thumbnail
            everything.problems[path] = next(iter(kind.skipped))
        else:  # whatever it is called, it was named
            everything.pictures.append(path)
    else:
        raise MetannError(f"{printable(path)} is a pipe, socket or device and no image file; give image files or folders of images")


def read_photos(paths: Sequence[Path], channels: int, size: int, bits: int | None = None) -> Pictures:
    """Those that can be read, as (N, C, S, S) uint8; colours become grey and grey becomes colours where the networks need it.

    Args:
        bits: how many of a 16-bit file's bits count, as in the training images; None: as many as the largest value of each needs, so
            that an answer does not depend on the files beside it.

    Raises:
        MetannError: networks of other than 1 or 3 channels.
    """
    if channels not in (1, 3):
        raise MetannError(f"the networks take images of {channels} channels; files have 1 (grey) or 3 (colour)")
    pictures = read_each(paths, size, bits, each=True)
    images_NCHW = pictures.images_NCHW
    if channels > images_NCHW.shape[1]:
        images_NCHW = np.repeat(images_NCHW, channels, axis=1)
    elif channels < images_NCHW.shape[1]:
        colours_NHWC = np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1))
        images_NCHW = np.stack([np.asarray(Image.fromarray(image).convert("L"))[None] for image in colours_NHWC])
    return replace(pictures, images_NCHW=images_NCHW)
