"""The house: a file imports only lower floors, its own folder, or what its floor names; and every family has the same rooms."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from metann.workflow.provenance import import_closure

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "metann"
FAMILIES = ("mnn", "cascade", "mixture", "hypernetwork")
# Lowest first. A name is a folder or a module of metann/; what stands behind it are folders of its own floor that it may use too.
FLOORS: list[dict[str, tuple[str, ...]]] = [
    {
        "__init__": (),
        "errors": (),
        "seeds": (),
        "files": (),
        "registry": (),
        "thresholds": (),
        "layout": (),
        "function_call": (),
    },
    {"config": (), "cost": (), "statistics": (), "networks": (), "compute": ()},
    {"tables": (), "weights": (), "figures": ()},
    {"data": (), "datasets": ("data",), "training": (), "report": (), "workflow": (), "plan": ("training", "report")},
    dict.fromkeys(FAMILIES, ()),
    {"model": ()},
    {"stages": ()},
    {"cli": (), "__main__": ("cli",)},
]
GROUND = set(FLOORS[0])
TORCH_FREE = ("inputs", "evaluation", "choice", "summary")
# Slow to import, or perhaps not installed.
LAZY = {"torch", "torchvision", "scipy", "matplotlib", "seaborn", "pandas", "sklearn", "pynvml", "timm"}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def floor_of(room: str) -> int:
    return next(depth for depth, rooms in enumerate(FLOORS) if room in rooms)


def module_of(path: Path, package: Path = PACKAGE) -> str:
    return ".".join(["metann", *path.relative_to(package).with_suffix("").parts]).removesuffix(".__init__")


def imports(tree: ast.AST) -> list[tuple[ast.AST, str]]:
    """(statement, full name) of every module of metann that is imported, also inside functions; not those for type checking."""
    found: list[tuple[ast.AST, str]] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"metann.{alias.name}" for alias in node.names] if node.module == "metann" else [node.module]
            found += [(node, name) for name in names]
        elif isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        stack += ast.iter_child_nodes(node)
    return found


def upward(module: str, source: str) -> list[str]:
    """What a module imports that it may not."""
    room = room_of(module)
    mine = floor_of(room)
    faults = []
    for _, name in imports(ast.parse(source)):
        if not name.startswith("metann.") or name == "metann.__version__":
            continue
        other = room_of(name)
        if other == room or (mine == 0 and other in GROUND) or other in FLOORS[mine].get(room, ()):
            continue
        if floor_of(other) >= mine:
            faults.append(f"{module} imports {name}, which is not below it")
    return faults


FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    assert upward(module_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("metann.cost.macs", "from metann.training.loop import run_epochs"),
        ("metann.mnn.choice", "from metann.cascade.choice import rank_pairs"),
        ("metann.tables.join", "def f():\n    from metann.stages.plan import plan"),
        ("metann.errors", "from metann.config.run import Config"),
        ("metann.config.run", "from metann.statistics.paired import mcnemar_p"),
        ("metann.data.raw", "from metann.datasets.cifar10 import load"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, line: str) -> None:
    assert upward(module, line)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules of one import circle in order, or nothing."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if found := walk(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_no_import_circle() -> None:
    known = {module_of(path) for path in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        named = set()
        for node, name in imports(ast.parse(path.read_text())):
            inner = [f"{name}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            named |= {module for module in (name, *inner) if module in known and module != "metann"}
        graph[module_of(path)] = named
    assert circle(graph) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c"]


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE], ids=name_of)
def test_packages_hold_no_code(path: Path) -> None:
    """A docstring, and at most names that are imported when they are asked for."""
    body = ast.parse(path.read_text()).body
    assert isinstance(body[0], ast.Expr)
    for node in body[1:]:
        text = ast.unparse(node)
        assert text == "from metann.registry import lazy_names" or text.startswith("__getattr__ = lazy_names(__name__, {"), text


@pytest.mark.parametrize("folder", ["datasets", "networks", "figures"])
def test_registered_folders_hold_registered_files(folder: str) -> None:
    wanted = {"datasets": {"load"}, "networks": {"build", "NAMES"}, "figures": {"draw", "CAPTION", "TABLES"}}[folder]
    for path in sorted((PACKAGE / folder).glob("[!_]*.py")):
        defined = set()
        for node in ast.parse(path.read_text()).body:
            defined |= {node.name} if isinstance(node, ast.FunctionDef) else set()
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)} if isinstance(node, ast.Assign) else set()
        assert wanted <= defined, f"{path.name} lacks {wanted - defined}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "config").glob("*.py")), ids=name_of)
def test_configuration_is_read_without_numpy_and_torch(path: Path) -> None:
    assert not {name.split(".")[0] for _, name in imports(ast.parse(path.read_text()))} & {"numpy", "torch", "pandas"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_inside_functions_are_of_slow_libraries_alone(path: Path) -> None:
    """A stage imports in its own function, so that `--help` and errors are quick; elsewhere only what is slow may wait."""
    tree = ast.parse(path.read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        if path.parent.name == "stages" and function.name == path.stem:
            continue
        for node, name in imports(function):
            inner = any(
                node in ast.walk(other) for other in ast.walk(function) if isinstance(other, ast.FunctionDef) and other is not function
            )
            assert inner or name.split(".")[0] in LAZY, f"{function.name} imports {name}; write it at the top of the module"


@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_same_rooms(family: str) -> None:
    expected = [f"metann/config/{family}.py", f"rules/{family}.smk", f"metann/stages/collect_{family}.py", f"presets/{family}-demo.yaml"]
    expected += [f"metann/{family}/{room}.py" for room in ("inputs", "evaluation", "choice", "summary", "model")]
    assert [path for path in expected if not (ROOT / path).is_file()] == []
    assert list((PACKAGE / "figures").glob(f"{family}_*.py")), f"no figures of {family}"
    assert list((ROOT / "tests").glob(f"test_{family}_*.py")), f"no tests of {family}"
    assert f"\nrule {family}:\n" in (ROOT / f"rules/{family}.smk").read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_family_computes_on_tables_needs_no_torch(family: str) -> None:
    for room in TORCH_FREE:
        closure = import_closure(f"metann.{family}.{room}")
        loads = [
            module
            for module in closure
            if {name.split(".")[0] for _, name in imports(ast.parse(file_of(module).read_text()))} & {"torch", "torchvision"}
        ]
        assert loads == [], f"metann.{family}.{room} comes to torch"


def file_of(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@pytest.mark.parametrize("path", [path for family in FAMILIES for path in sorted((PACKAGE / family).glob("*.py"))], ids=name_of)
def test_paths_stay_where_files_are_read(path: Path) -> None:
    """Mathematics takes arrays and tables; a training takes the one folder of its checkpoint."""
    if path.stem in ("inputs", "model", "run_folder", "packed"):
        return
    tree = ast.parse(path.read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        arguments = [*function.args.args, *function.args.kwonlyargs]
        given = [a.arg for a in arguments if a.annotation is not None and "Path" in ast.unparse(a.annotation) and a.arg != "folder"]
        assert not given, f"{function.name} takes a path: {given}"


def test_the_code_digest_leaves_out_two_folders_and_nothing_else() -> None:
    for stage in sorted((PACKAGE / "stages").glob("[!_]*.py")):
        closure = import_closure(f"metann.stages.{stage.stem}")
        assert not [module for module in closure if module.startswith(("metann.config", "metann.workflow"))]
    closure = import_closure("metann.stages.evaluate_mnn")
    assert {"metann.function_call", "metann.registry", "metann.thresholds"} <= set(closure)


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import metann.cli", {"torch", "pandas", "scipy", "matplotlib", "torchvision"}),
        ("import metann.config.run", {"torch", "numpy", "pandas"}),
        ("import metann.mnn, metann.statistics.paired", {"torch", "pandas"}),
        (
            "import metann.stages.train_expert, metann.training.classifier, metann.weights.files, metann.data.prepared",
            {"pandas", "scipy", "torchvision"},
        ),
    ],
)
def test_heavy_libraries_wait(statement: str, unwanted: set[str]) -> None:
    code = f"{statement}; import sys; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not unwanted & loaded


def test_modules_hold_one_thing_and_the_root_holds_doors_and_ground_alone() -> None:
    """A module of more than 250 lines usually holds two things; the root has room for eleven."""
    lines = {path: len(path.read_text().splitlines()) for path in [*PACKAGE.rglob("*.py"), *(ROOT / "rules").glob("*.smk")]}
    assert [str(path) for path, number in lines.items() if number > 250] == []
    assert len(list(PACKAGE.glob("*.py"))) <= 11


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_benchmarks_import_what_is_there(path: Path) -> None:
    """No test runs them: a name that moved would be missed only when somebody measures."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "metann"]
    missing = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names if not defines(node.module, alias.name)]
    assert not missing


def defines(module: str, name: str) -> bool:
    """Whether `from module import name` finds a submodule, or something that the module's text defines or imports."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    if (place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file():
        return True
    source = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
    return source.is_file() and name in re.findall(r"\w+", source.read_text())


def test_evaluation_code_does_not_touch_training() -> None:
    """A changed line that evaluates must train nothing again; of an expert's family only its own set and training count."""
    own = {"metann.mnn", *(f"metann.mnn.{name}" for name in ("expert_sets", "experts", "lesson", "objective", "tail_experts", "views"))}
    for stage in ("prepare_data", "train_network", "export_probabilities", "train_expert"):
        closure = import_closure(f"metann.stages.{stage}")
        others = [name for name in closure if name.startswith(("metann.mnn", "metann.figures", "metann.cascade")) and name not in own]
        assert others == []


def test_public_names_stay() -> None:
    import metann
    import metann.cascade
    import metann.mnn
    import metann.networks
    import metann.tables

    for module, name in [
        (metann, "MetaNeuralNetwork"),
        (metann, "Cascade"),
        (metann, "load"),
        (metann.mnn, "combine"),
        (metann.mnn, "prefix_correct"),
        (metann.mnn, "threshold_curve"),
        (metann.cascade, "search_threshold"),
        (metann.cascade, "decide"),
        (metann.networks, "build"),
        (metann.tables, "read_probabilities"),
    ]:
        assert callable(getattr(module, name)), name
