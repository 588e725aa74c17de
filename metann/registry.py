"""What the folders hold: names of datasets, architectures, figures and functions, read from the source without importing it.

The folder is the registry. A dataset or figure is one file (its name is the file's). An architecture family is one file
whose literal `NAMES` lists the architectures it builds; their settings are the keyword-only arguments of its `build`.
Two kinds of architecture come from elsewhere: `path/to/nets.py:build` is a user's own function, `timm/resnet18` one of timm's models.
A switch or score function is a public function of its module. Reading the syntax tree keeps torch out of every process
that only has to know a name (the configuration, the workflow, `--help`).
"""

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metann.errors import MetannError, nearest, unknown

PACKAGE = Path(__file__).parent


def _files(folder: str) -> list[Path]:
    return sorted(p for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _function(path: Path, name: str) -> ast.FunctionDef | None:
    return next((node for node in _tree(path).body if isinstance(node, ast.FunctionDef) and node.name == name), None)


@cache
def files_with(folder: str, function: str) -> tuple[str, ...]:
    """Stems of the files in metann/`folder` that define `function` at top level, sorted."""
    return tuple(path.stem for path in _files(folder) if _function(path, function))


def datasets() -> tuple[str, ...]:
    """Dataset names: the files of metann/datasets with a `load` function."""
    return files_with("datasets", "load")


def figures() -> tuple[str, ...]:
    """Figure names: the files of metann/figures with a `draw` function."""
    return files_with("figures", "draw")


FAMILIES = ("mnn", "cascade", "mixture", "hypernetwork")
"""Each has a section of the configuration, a folder, rules, a stage collect_{family}, figures {family}_* and tables {family}_*."""


def family_of(name: str) -> str | None:
    """The family that a figure or table belongs to, by the start of its name; None: over families."""
    return next((family for family in FAMILIES if name.startswith(f"{family}_")), None)


@cache
def literal(file: str, name: str) -> Any:
    """The literal value assigned to `name` at the top level of a file of the package (`figures/mnn_heatmap.py`), or None."""
    for node in _tree(PACKAGE / file).body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
            return ast.literal_eval(node.value)
    return None


@cache
def dataset_classes(dataset: str) -> int | None:
    """How many classes a dataset always has (the literal `CLASSES` of its file), or None where its folders say."""
    return literal(f"datasets/{dataset}.py", "CLASSES")


@cache
def architectures() -> dict[str, str]:
    """Architecture name -> module name of its family in metann/networks."""
    return {name: path.stem for path in _files("networks") for name in literal(f"networks/{path.name}", "NAMES") or ()}


TIMM = "timm/"
ANYTHING = "**"
"""Among the settings of an architecture: it takes any, and says itself what is wrong with one."""


@cache
def timm_models() -> frozenset[str]:
    """Names of timm's models, read from its source as it does not have to be imported; none where timm is not installed."""
    spec = find_spec("timm")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else PACKAGE / "no such folder"
    pattern = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)
    return frozenset(name for path in folder.glob("*.py") for name in pattern.findall(path.read_text(encoding="utf-8")))


def own_network(architecture: str) -> tuple[Path, str] | None:
    """(file, function) of a user's own network, `path/to/nets.py:build`; None for every other name."""
    file, colon, function = architecture.rpartition(":")
    return (Path(file).expanduser(), function) if colon and file.endswith(".py") else None


def _own_function(architecture: str, path: Path, name: str) -> ast.FunctionDef:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MetannError(
            f"architecture {architecture}: cannot read {path}: {(error.strerror or str(error)).lower()}; "
            f"a path is taken from the working folder, {Path.cwd()}"
        ) from None
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise MetannError(f"architecture {architecture}: {path}{line} is no Python ({getattr(error, 'msg', error)}); mend it") from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise unknown(f"function of {path}", name, functions, f"{path}: def {name or 'build'}(num_classes, channels, image_size)")
    arguments = functions[name].args
    if len([*arguments.posonlyargs, *arguments.args]) < 3 and arguments.vararg is None:
        raise MetannError(
            f"architecture {architecture}: {name} takes {ast.unparse(arguments)}; write {name}(num_classes, channels, image_size)"
        )
    return functions[name]


def architecture_module(architecture: str) -> str:
    """The module of metann/networks that builds an architecture: its family's, `_timm` or `_own`.

    Raises:
        MetannError: nobody knows it; a user's file that is not there, or has no such function; timm that is not installed.
    """
    if own := own_network(architecture):
        _own_function(architecture, *own)
        return "_own"
    if architecture.startswith(TIMM):
        if not timm_models():
            raise MetannError(f"architecture {architecture} needs timm, which is not installed; pip install 'metann[timm]'")
        name = architecture.removeprefix(TIMM)
        if name.split(".")[0] not in timm_models():  # behind the dot stands which weights
            raise MetannError(f"timm has no model {name!r}; nearest: {nearest(name, timm_models())}; timm.list_models() has all")
        return "_timm"
    if architecture not in architectures():
        raise unknown("architecture", architecture, architectures(), "metann/networks/, or give path/to/nets.py:build or timm/NAME")
    return architectures()[architecture]


def architecture_settings(architecture: str) -> dict[str, str]:
    """Settings that an architecture takes, and their types as written; with `ANYTHING` among them it takes any.

    Keyword-only arguments of its family's `build`; of a user's function all arguments behind the first three.
    """
    if own := own_network(architecture):
        arguments = _own_function(architecture, *own).args
        named = [*arguments.posonlyargs, *arguments.args][3:] + arguments.kwonlyargs
        found = {argument.arg: ast.unparse(argument.annotation) if argument.annotation else "" for argument in named}
        return found | ({ANYTHING: ""} if arguments.kwarg else {})
    if architecture.startswith(TIMM):
        return {ANYTHING: ""}
    return keyword_settings(f"networks/{architectures()[architecture]}.py", "build")


def architecture_blocks(architecture: str, settings: Mapping[str, Any]) -> int | None:
    """How many blocks a network has (the literal `BLOCKS` of its family: a number, or the setting that says it); None: it names none."""
    if architecture not in architectures():
        return None  # from elsewhere
    path = f"networks/{architectures()[architecture]}.py"
    number = literal(path, "BLOCKS")
    if not isinstance(number, str):
        return number
    arguments = _function(PACKAGE / path, "build").args
    spelled = {a.arg: ast.literal_eval(value) for a, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value}
    return (spelled | dict(settings))[number]


@cache
def functions(module: str) -> dict[str, tuple[str, ...]]:
    """Public functions of metann/`module`: name -> names of the arguments after the first (the parameters)."""
    return {
        node.name: tuple(argument.arg for argument in node.args.args[1:])
        for node in _tree(PACKAGE / module).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def switch_functions() -> dict[str, tuple[str, ...]]:
    """Switch functions and their parameters (metann/mnn/switch_functions.py)."""
    return functions("mnn/switch_functions.py")


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a package (PEP 562) whose public names are imported when they are asked for.

    By text and not by import statements, which would load torch with a package's first module and count all of it into the code
    digest of every stage that imports one.

    Args:
        package: its full name, such as `metann.mnn`.
        modules: public name -> full name of the module that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in modules:
            return getattr(import_module(modules[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}; known: {', '.join(sorted(modules))}")

    return __getattr__


@cache
def keyword_settings(file: str, function: str) -> dict[str, str]:
    """Keyword-only arguments of a function of the package (`hypernetwork/schemes.py`), and their types as written."""
    found = _function(PACKAGE / file, function)
    arguments = found.args.kwonlyargs if found else []
    return {argument.arg: ast.unparse(argument.annotation) if argument.annotation else "" for argument in arguments}
