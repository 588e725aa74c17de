"""Imports point one way, and heavy libraries stay out of modules that must start quickly."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from metann.workflow.provenance import import_closure

PACKAGE = Path(__file__).parent.parent / "metann"
LAYERS = [
    {
        "errors",
        "files",
        "registry",
        "thresholds",
        "seeds",
        "config",
        "cascade_config",
        "sections",
        "columns",
        "sealed",
        "samples",
        "training_config",
        "tables",
        "frames",
        "provenance",
        "devices",
        "workflow",
    },
    {"data", "networks", "objectives", "expert_sets"},
    {
        "forward",
        "checkpoint",
        "training",
        "optimizer",
        "mnn",
        "cascade",
        "mixture",
        "hypernetwork",
        "statistics",
        "cost",
        "energy",
        "sensors",
        "figures",
        "summary",
        "report",
        "plan",
    },
    {"inference"},
    {"stages"},
    {"cli", "__main__"},
]


def layer_of(module: str) -> int:
    name = module.split(".")[1]
    return next(depth for depth, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    module = ".".join(["metann", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    if module == "metann":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        imported = (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names] if isinstance(node, ast.Import) else []
        )
        for name in imported:
            if name and name.startswith("metann."):
                assert layer_of(name) <= layer_of(module), f"{module} imports {name}, which stands above it"


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import metann.cli", {"torch", "pandas", "scipy", "matplotlib", "torchvision"}),
        ("import metann.config", {"torch", "numpy", "pandas"}),
        ("import metann.mnn, metann.statistics", {"torch", "pandas"}),
        (
            "import metann.stages.train_expert, metann.training, metann.networks.weights, metann.data.prepared",
            {"pandas", "scipy", "torchvision"},
        ),
    ],
)
def test_heavy_libraries_wait(statement: str, unwanted: set[str]) -> None:
    code = f"{statement}; import sys; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not unwanted & loaded


def test_evaluation_code_does_not_touch_training() -> None:
    """A changed line in metann/mnn must train nothing again."""
    for stage in ("prepare_data", "train_network", "export_probabilities", "train_expert"):
        assert not [
            name for name in import_closure(f"metann.stages.{stage}") if name.startswith(("metann.mnn", "metann.figures", "metann.cascade"))
        ]
