"""One GPU for each running job of this machine, by a lock file per device; no torch: the choice comes before torch looks for devices.

Snakemake limits how many jobs ask for a GPU (`--resources gpu=2`) but tells none of them which. A job takes the first
device that nobody holds and waits while all are taken. The operating system drops a lock when its process ends, however it
ends, so there is nothing to clean up after a crash.
"""

import fcntl
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir

from metann.errors import MetannError

POLL_SECONDS = 0.2
MESSAGE_SECONDS = 60.0

# Open files of the locks that this process holds; closing one would release it.
_held: list[int] = []


def local_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of this machine's GPUs, such as ['0', '1']; no driver is asked.

    `METANN_GPUS` names others: '2,3' to use only those, or devices that are not there, for tests; '' for none.
    """
    given = environment.get("METANN_GPUS")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    numbers = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return sorted((number for number in numbers if number.isdigit()), key=int)


def lock_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the lock files are: one folder per machine and user, since jobs of several runs share the devices."""
    return Path(environment.get("METANN_LOCKS") or Path(gettempdir()) / f"metann-gpus-{os.getuid()}")


def _try(path: Path) -> bool:
    """Take one lock if it is free, and write the process id into it for whoever looks."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_nlink != 1:
        os.close(handle)
        raise MetannError(
            f"{path} is no lock file of yours (another's, a link or no file); remove it, or set METANN_LOCKS to a folder of yours"
        )
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    _held.append(handle)
    return True


def take_gpu() -> str | None:
    """Hold one GPU until this process ends, and make it the only one that torch sees (CUDA_VISIBLE_DEVICES).

    To be called before torch is first asked for a device: it looks for them then, not when it is imported. Nothing is done where
    there is no GPU, and where CUDA_VISIBLE_DEVICES is set already: Slurm or the user has chosen. Waits while every device is taken.

    Returns:
        the device, or None where none was taken.

    Raises:
        MetannError: the lock files cannot be written.
    """
    devices = local_gpus()
    if not devices or "CUDA_VISIBLE_DEVICES" in os.environ:
        return None
    folder = lock_folder()
    next_message = time.monotonic()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat() if "METANN_LOCKS" in os.environ else folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise MetannError(f"{folder} is no folder of yours; remove it, or set METANN_LOCKS to a folder of yours")
        while True:
            for device in devices:
                if _try(folder / f"gpu_{device}.lock"):
                    # Numbers of nvidia-smi and of /dev/nvidia*, not CUDA's own order by speed.
                    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
                    os.environ["CUDA_VISIBLE_DEVICES"] = device
                    print(f"GPU {device} (of {', '.join(devices)})", flush=True)
                    return device
            if time.monotonic() >= next_message:
                print(f"waiting for a GPU: {', '.join(devices)} are taken (locks in {folder})", flush=True)
                next_message = time.monotonic() + MESSAGE_SECONDS
            time.sleep(POLL_SECONDS)
    except OSError as error:
        raise MetannError(
            f"cannot lock a GPU in {folder}: {error.strerror or error}; set METANN_LOCKS to a folder of yours, or CUDA_VISIBLE_DEVICES"
        ) from error
