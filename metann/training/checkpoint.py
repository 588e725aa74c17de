"""What a killed training goes on from: plain values and tensors, no code."""

import io
from pathlib import Path
from typing import Any

import torch

from metann.files.atomic import atomic


def save_checkpoint(path: Path, key: str, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, texts, None, lists and dicts of them), whole or not at all.

    Args:
        key: names the settings, data and code that it belongs to.
    """
    buffer = io.BytesIO()  # torch's own writer reports a full disk as an internal error
    torch.save({"key": key} | content, buffer)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path, key: str, device: torch.device, needed: set[str]) -> dict[str, Any] | None:
    """What was saved under the same key, on `device`; None (and a line in the log) where there is nothing of use.

    Code in the file is never run.

    Args:
        needed: what has to be in it.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch.load raises many kinds; whatever it is, training anew is right
        print(f"checkpoint {path} cannot be read ({type(error).__name__}); training starts anew")
        return None
    if not isinstance(content, dict) or content.get("key") != key or not needed <= set(content):
        print(f"checkpoint {path} is of other settings, data or code; training starts anew")
        return None
    return content
