"""What made a file: a digest of the code that ran, and the versions of the libraries.

Snakemake does not see edits in a package behind a CLI, so every rule carries `code_digest(...)` of its stage in params.
"""

import ast
import contextlib
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata, util
from pathlib import Path

from metann import registry
from metann.errors import MetannError
from metann.files.digests import code_without_words, own_sources
from metann.files.text import write_json

ROOT = Path(__file__).parents[2]
# The configuration steers a stage only through its flags, which are params of the rule; the workflow makes no result.
_LEFT_OUT = ("metann.config", "metann.workflow")


def _file(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imports(tree: ast.Module) -> set[str]:
    """Names of metann that a syntax tree imports, with their packages, modules or not; imports for type checking do not count."""
    found: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            stack += node.orelse
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        stack += ast.iter_child_nodes(node)
    with_packages = {".".join(name.split(".")[:depth]) for name in found for depth in range(1, name.count(".") + 2)}
    return {name for name in with_packages if name.split(".")[0] == "metann"}


def _parsed(path: Path) -> tuple[str, list[str]]:
    """(digest of a module's code without comments and docstrings, what it imports)."""
    tree = code_without_words(path.read_text(encoding="utf-8"))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(_imports(tree))


@cache
def _known(module: str) -> tuple[str, list[str]]:
    """What `_parsed` says of a module, kept beside Python's own bytecode and as long as that: while time and size of the source stay
    (and those of this file, which says what is kept).

    Parsing the 40 modules of a stage takes 0.15 s, which every job of a run would pay.
    """
    path = _file(module)
    if path is None:
        raise MetannError(f"no module {module} in {ROOT}")
    source = [str(path), *_state(path), *_state(Path(__file__))]
    kept = Path(util.cache_from_source(str(path))).with_suffix(".digest.json")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        found = json.loads(kept.read_bytes())
        if found[0] == source:
            return found[1], found[2]
    digest, imports = _parsed(path)
    if not sys.dont_write_bytecode:
        with contextlib.suppress(OSError, MetannError):  # a package that cannot be written to is read anew each time
            write_json(kept, [source, digest, imports])
    return digest, imports


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@cache
def import_closure(*modules: str) -> tuple[str, ...]:
    """All modules of metann that run when `modules` are imported, sorted; found in the source, nothing is imported."""
    todo, seen = list(modules), set()
    while todo:
        module = todo.pop()
        if module not in seen and not module.startswith(_LEFT_OUT):
            seen.add(module)
            todo += [name for name in _known(module)[1] if name not in seen and _file(name)]  # asked anew: a name can become a module
    return tuple(sorted(seen))


@cache
def code_digest(*modules: str, texts: tuple[str, ...] = ()) -> str:
    """12 hex digits over the code of the import closure; comments, docstrings and layout do not count.

    Args:
        modules: full names such as `metann.stages.train_network`; a module that is only imported by name at run time
            (a dataset, an architecture family, a figure) has to be named too.
        texts: what else counts, such as captions that a page prints.
    """
    text = "\n".join([*(f"{module} {_known(module)[0]}" for module in import_closure(*modules)), *texts])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def stage_code(
    stage: str,
    *,
    architectures: Iterable[str] = (),
    dataset: str | None = None,
    figures: Iterable[str] = (),
    captions: Iterable[str] = (),
    published: bool = False,
    models: Iterable[str] | None = None,
) -> str:
    """The digest of a stage's code and of the modules that it imports by name only; rules and stages ask here alike.

    Args:
        stage: a module of metann/stages, such as `train_network`.
        architectures: names of the networks that are built.
        dataset: name of the data set that is read.
        figures: names of the figures that are drawn.
        captions: names of the figures whose captions are printed; how they are drawn does not count.
        published: whether weights are read that others have made.
        models: families whose models are run, and plain networks with them; None: no models.
    """
    networks = [name for name in architectures if name in registry.architectures() or "/" in name or registry.own_network(name)]
    named = {f"metann.networks.{registry.architecture_module(name)}" for name in networks}
    named |= {f"metann.datasets.{dataset}"} if dataset else set()
    named |= {f"metann.figures.{name}" for name in figures}
    named |= {"metann.weights.published"} if published else set()
    named |= set() if models is None else {"metann.weights.single", *(f"metann.{family}.model" for family in models)}
    texts = tuple(f"{name} {registry.literal(f'figures/{name}.py', 'CAPTION')}" for name in captions)
    texts += tuple(" ".join(each) for each in own_sources(networks).get("sources", {}).items())
    return code_digest(f"metann.stages.{stage}", *sorted(named), texts=texts)


def machine() -> str:
    """'AMD EPYC 9B14, 2 cores': what something was measured on."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    return {"python": sys.version.split()[0]} | {name: metadata.version(name) for name in ("metann", "torch", "numpy", "pyarrow")}
