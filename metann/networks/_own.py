"""A user's own networks: `path/to/nets.py:build`, a function `build(num_classes, channels, image_size, **settings)` of theirs.

The file is run as it stands; files of its folder that it imports at its top count as parts of it.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from metann.errors import MetannError
from metann.files.digests import source_digest
from metann.networks._checked import checked
from metann.registry import own_network


def build(name: str, num_classes: int, channels: int, image_size: int, **settings: Any) -> nn.Module:
    """The network that a user's function gives.

    Raises:
        MetannError: the file cannot be run, the function fails, or its network does not answer with a logit for each class.
    """
    path, function = own_network(name) or (Path(name), "build")

    def make() -> nn.Module:
        return getattr(_module(path), function)(num_classes, channels, image_size, **settings)

    return checked(name, make, num_classes, channels, image_size)


def _module(path: Path) -> ModuleType:
    """A file as a module, run once for each content."""
    name = f"metann_own_{source_digest(path)}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MetannError(f"{path} is no Python file; give path/to/nets.py:build")
    module = module_from_spec(spec)
    folder, before = str(path.absolute().parent), set(sys.modules)
    sys.modules[name] = module
    sys.path.append(folder)  # last: a file of that folder never stands in for a library
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
        # Another folder may have files of the same names.
        for other in set(sys.modules) - before - {name}:
            if Path(getattr(sys.modules[other], "__file__", None) or "/").parent == Path(folder):
                del sys.modules[other]
    return module
