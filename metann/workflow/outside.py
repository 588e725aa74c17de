"""Files that a configuration names and nobody here made."""

from pathlib import Path

from metann.config.network import NetworkSection
from metann.digests import FileDigests, combined


def files_of(network: NetworkSection) -> list[Path]:
    """Files that a network comes from: tables with their labels and rows, or weights; none where it is trained, or downloaded."""
    if network.probabilities is not None:
        named = [network.probabilities, network.labels, network.val_rows if isinstance(network.val_rows, str) else None]
        return [Path(path) for path in named if path is not None and (path is not named[2] or Path(path).is_file())]
    return [Path(network.weights)] if network.weights is not None and Path(network.weights).is_file() else []


def digests_of(network: NetworkSection, digests: FileDigests) -> str:
    """What these files hold; '' without any. A missing one is Snakemake's, or the stage's, to name.

    Raises:
        MetannError: a file that is there and cannot be read.
    """
    found = (
        combined(part for path in files_of(network) if path.is_file() for part in (path.name, digests.of(path)))
        if files_of(network)
        else ""
    )
    digests.keep()
    return found
