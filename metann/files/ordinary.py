"""Whether a path from outside is a file: reading a pipe waits for ever, and reading a device may never end."""

import stat
from pathlib import Path

from metann.errors import MetannError


def check_ordinary(path: Path) -> None:
    """Refuse a pipe, a socket or a device; who reads says what is wrong with a folder or a missing file.

    Raises:
        MetannError: naming what it is.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise MetannError(f"{path} is {what}, not a file; write its content into a file, and give that")
