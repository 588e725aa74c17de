"""One array of a file made elsewhere; nothing is ever unpickled."""

from pathlib import Path

import numpy as np

from metann.errors import MetannError, exhausted, failed_system


def load_array(path: Path) -> np.ndarray:
    """One array of an .npy file; bfloat16, which numpy stores as two raw bytes, as float32.

    Raises:
        MetannError: missing, truncated, pickled, or an archive.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MetannError(f"no file {path}; check the paths of probabilities and labels") from None
    except MemoryError:
        raise MetannError(f"{path} claims more numbers than memory can hold; write it with numpy.save") from None
    except Exception as error:  # whatever numpy raises on foreign bytes
        if isinstance(error, OSError) and exhausted(error):
            raise failed_system(path, error) from None
        pickled = " (a pickle can run code and is never read)" if "pickle" in str(error).lower() else ""
        raise MetannError(f"{path} is not a whole .npy file of numbers{pickled}; write it with numpy.save, allow_pickle=False") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise MetannError(f"{path} is an archive of arrays, not one; write the array alone with numpy.save, or name it .npz")
    return from_bfloat16(array)


def from_bfloat16(array: np.ndarray) -> np.ndarray:
    """The same; bfloat16, which numpy stores as two raw bytes, as float32."""
    if array.dtype.kind == "V" and array.dtype.itemsize == 2 and array.dtype.names is None:
        return (np.ascontiguousarray(array).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array
