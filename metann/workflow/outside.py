"""Files that a configuration names and nobody here made."""

import ast
import contextlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from metann.files.digests import FileDigests, combined

if TYPE_CHECKING:
    from metann.config.mixture_setting import SettingSection
    from metann.config.network import NetworkSection
    from metann.config.run import Config


def files_of(network: "NetworkSection") -> list[Path]:
    """Files that a network comes from: tables with their labels and rows, or weights; none where it is trained, or downloaded."""
    if network.probabilities is not None:
        named = [network.probabilities, network.labels, network.val_rows if isinstance(network.val_rows, str) else None]
        return [Path(path) for path in named if path is not None and (path is not named[2] or Path(path).is_file())]
    return [Path(network.weights)] if network.weights is not None and Path(network.weights).is_file() else []


def files_of_mixture(setting: "SettingSection", known: Collection[str]) -> list[Path]:
    """Weight files that a mixture starts from or looks through, made by nobody of this run.

    Args:
        known: names of what the run trains.
    """
    return [Path(name) for name in (*setting.needs_phases_of(), *setting.embeddings()) if name not in known]


def outside_of(run: "Config", digests: FileDigests) -> dict[str, str]:
    """What files from outside hold: by network, and by `mixture:` with a setting's name.

    Raises:
        MetannError: a file that is there and cannot be read.
    """
    found = {name: digests_of(network, digests) for name, network in run.networks.items()}
    trained = run.mixture.trained() if run.mixture else []
    known = {*run.networks, *(setting.name for setting in trained)}
    return found | {f"mixture:{setting.name}": digest_of_files(files_of_mixture(setting, known), digests) for setting in trained}


def digests_of(network: "NetworkSection", digests: FileDigests) -> str:
    """What these files hold; '' without any. A missing one is Snakemake's, or the stage's, to name.

    Raises:
        MetannError: a file that is there and cannot be read.
    """
    return digest_of_files(files_of(network), digests)


def digest_of_files(files: Iterable[Path], digests: FileDigests) -> str:
    """What files hold, with their names and in their order; '' where none is there."""
    there = [path for path in files if path.is_file()]
    found = combined(part for path in there for part in (path.name, digests.of(path))) if there else ""
    digests.keep()
    return found


def told(found: str, recorded: str, record: Path | None) -> str:
    """The fingerprint of raw files as the rule that prepares them is told.

    Files that were downloaded by the rule itself were not there when it was told: what Snakemake wrote down then is no change.

    Args:
        found: the fingerprint now.
        recorded: that of the prepared data.
        record: where Snakemake has written down how they were made.
    """
    if found and found == recorded and record is not None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            params = json.loads(record.read_text(encoding="utf-8")).get("params") or []
            if repr(found) not in params and "''" in params:
                return ""
    return found


def as_prepared(data: list[str], code: str, files: str, record: Path | None) -> tuple[list[str], str]:
    """What the rule that prepares the data is told where the raw files are archived: what it was told when they were there.

    Else another code digest, or another folder in which nothing is, would ask for a job that can only fail.

    Args:
        data, code: flags and code digest as they are now; they count where Snakemake has written nothing down.
        files: the fingerprint of the raw files.
        record: where Snakemake has written down how the data were made.
    """
    with contextlib.suppress(OSError, ValueError, SyntaxError, LookupError, TypeError):
        params = [ast.literal_eval(text) for text in json.loads(record.read_text(encoding="utf-8"))["params"]] if record else []
        lists, texts = ([param for param in params if isinstance(param, kind)] for kind in (list, str))
        codes = [text for text in texts if text not in (files, "")]
        if len(lists) == len(codes) == 1:
            return lists[0], codes[0]
    return data, code
