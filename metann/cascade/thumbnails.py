"""Grey values, small copies and moments of images, as the published memory computes them.

Shapes: N images, H rows, W columns, C channels (1 grey or 3 colours), uint8.

Grey values and resizing reproduce OpenCV's fixed-point arithmetic bit by bit: an ordinary bilinear resize would give
another hash for a quarter of all images. Rotation invariants of complex moments follow Flusser (2000).
"""

import math

import numpy as np

from metann.errors import MetannError

_CHUNK = 256  # images whose complex planes are in memory at once


def grey(images_NHWC: np.ndarray) -> np.ndarray:
    """(N, H, W) uint8 luma, 0.299 R + 0.587 G + 0.114 B in 15-bit fixed point; a single channel stays as it is.

    Raises:
        MetannError: not uint8, not N x H x W x C, or C is neither 1 nor 3.
    """
    shape = np.shape(images_NHWC)
    if images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
        raise MetannError(
            f"images of type {images_NHWC.dtype} and shape {shape}; a memory key needs uint8, images x rows x columns x (1 or 3)"
        )
    if shape[3] == 1:
        return images_NHWC[..., 0]
    red, green, blue = np.moveaxis(images_NHWC, -1, 0).astype(np.int32)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).astype(np.uint8)


def resize(grey_NHW: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(N, rows, columns) uint8, bilinear without antialiasing, weights of 11 bits as in OpenCV."""
    _, height, width = grey_NHW.shape
    left_X, right_X, low_X, high_X = _taps(width, columns, clamp=True)
    wide_NHX = low_X * grey_NHW[:, :, left_X].astype(np.int32) + high_X * grey_NHW[:, :, right_X].astype(np.int32)
    top_Y, bottom_Y, low_Y, high_Y = _taps(height, rows, clamp=False)
    upper_NYX = (low_Y[:, None] * (wide_NHX[:, top_Y] >> 4)) >> 16
    lower_NYX = (high_Y[:, None] * (wide_NHX[:, bottom_Y] >> 4)) >> 16
    return np.clip((upper_NYX + lower_NYX + 2) >> 2, 0, 255).astype(np.uint8)


def _taps(size: int, target: int, clamp: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source positions and integer weights of the two neighbours of every target position."""
    position = ((np.arange(target) + 0.5) * (size / target) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    fraction = position - first.astype(np.float32)
    if clamp:  # OpenCV moves the weights at the left and right border, and the indices at the upper and lower one
        fraction = np.where((first < 0) | (first >= size - 1), np.float32(0), fraction)
    high = np.rint(fraction * np.float32(2048)).astype(np.int32)
    low = np.rint((np.float32(1) - fraction) * np.float32(2048)).astype(np.int32)
    return np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1), low, high


def moment_invariants(grey_NHW: np.ndarray) -> np.ndarray:
    """(N, 6) float64 invariants I0..I5 under rotation; 0, 1, 3 and 4 also under mirroring. A black image gives zeros.

    c_pq is the sum of f (x + iy)^p (x - iy)^q about the intensity centroid, rounded to 5 decimals so that a quarter turn,
    which only reorders the sum, gives the same bits; n_pq = c_pq m00^-((p+q)/2+1) ((p+q)/2+1) pi^((p+q)/2).
    """
    parts = [_invariants_of(grey_NHW[start : start + _CHUNK]) for start in range(0, len(grey_NHW), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, 6))


def _invariants_of(grey_NHW: np.ndarray) -> np.ndarray:
    _, height, width = grey_NHW.shape
    f_NHW = grey_NHW.astype(np.float64)
    mass_N = f_NHW.sum(axis=(1, 2))
    black_N = mass_N == 0
    mass_N = np.where(black_N, 1.0, mass_N)
    row_H, column_W = np.arange(1.0, height + 1), np.arange(1.0, width + 1)
    x_N = f_NHW.sum(axis=1) @ column_W / mass_N
    y_N = f_NHW.sum(axis=2) @ row_H / mass_N
    z_NHW = (column_W - x_N[:, None])[:, None, :] + 1j * (row_H - y_N[:, None])[:, :, None]
    square_NHW = z_NHW.real**2 + z_NHW.imag**2

    def n(plane_NHW: np.ndarray, order: int) -> np.ndarray:
        c_N = np.round((f_NHW * plane_NHW).sum(axis=(1, 2)), 5)
        return c_N / mass_N ** (order / 2 + 1) * (order / 2 + 1) * math.pi ** (order / 2)

    n11, n20 = n(square_NHW, 2), n(z_NHW**2, 2)
    n21, n30 = n(square_NHW * z_NHW, 3), n(z_NHW**3, 3)
    n12 = n21.conj()
    second, third = n20 * n12**2, n30 * n12**3
    values_N6 = np.stack([n11.real, second.real, second.imag, (n21 * n12).real, third.real, third.imag], axis=1)
    roots_6 = np.array([1, 1 / 3, 1 / 3, 1 / 2, 1 / 4, 1 / 4])
    return np.where(black_N[:, None], 0.0, np.sign(values_N6) * np.abs(values_N6) ** roots_6)
