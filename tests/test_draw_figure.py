import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from drawings import draws, repeats
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox
from synthetic import make_run

from metann.errors import MetannError
from metann.figures._captions import caption, tables_of
from metann.registry import figures
from metann.stages.collect_mnn import TABLES
from metann.stages.draw_figure import draw_figure

# Figures of other families need tables of their own.
MINE = [name for name in figures() if set(tables_of(name)) <= {f"mnn_{table}" for table in TABLES}]
RUNS = {
    "one seed": {"skill": 0.5},
    "three seeds": {"skill": 0.5, "seeds": (0, 1, 2), "train": 400},
    "two classes, one threshold, no MACs, a loss": {"classes": 2, "dataset_thresholds": (0.3,), "macs": None, "skill": -0.5},
    "long names, many classes": {
        "classes": 30,
        "train": 400,
        "skill": 0.8,
        "names": "a class with a name of some length, number {}".format,
    },
    "many thresholds": {"dataset_thresholds": tuple(np.linspace(0.1, 0.2, 9).round(3)), "train": 400},
    "no test thresholds": {"options": {"test_thresholds": []}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make_run(tmp_path_factory.mktemp("run"), val=120, test=250, **tables) for name, tables in RUNS.items()}


def test_all_six_figures_are_there() -> None:
    assert {f"mnn_{name}" for name in ("heatmap", "surface", "test_threshold", "expert_sets", "misclassified", "cost")} <= set(MINE)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", MINE)
def test_every_figure_draws(name: str, run: str, runs: dict[str, Path], tmp_path: Path) -> None:
    draws(name, runs[run], tmp_path)


@pytest.mark.parametrize("name", MINE)
def test_same_tables_give_the_same_bytes(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    repeats(name, runs["one seed"], tmp_path)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 20
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()


def test_the_last_bits_of_a_layout_change_no_bytes(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where matplotlib's solver adds in another order (it follows addresses), boxes differ in their last bits."""
    draw_figure("mnn_surface", run=runs["one seed"], svg=tmp_path / "a.svg")
    execute, moved = ConstrainedLayoutEngine.execute, []

    def other_order(self: ConstrainedLayoutEngine, figure: Figure) -> None:
        execute(self, figure)
        for axes in figure.axes:
            points = axes.get_position(original=True).get_points()
            axes.set_position(Bbox(points * (1 + 1e-14)))
            moved.append(axes)

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", other_order)
    draw_figure("mnn_surface", run=runs["one seed"], svg=tmp_path / "b.svg")
    assert moved
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_drawing_changes_no_settings(runs: dict[str, Path], tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 31, "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        draw_figure("mnn_cost", run=runs["one seed"], png=tmp_path / "a.png")
        assert dict(mpl.rcParams) == before
    draw_figure("mnn_cost", run=runs["one seed"], png=tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_bad_input_is_one_line(runs: dict[str, Path], tmp_path: Path) -> None:
    def fails(message: str, *arguments: object, **keywords: object) -> None:
        with pytest.raises(MetannError, match=message) as error:
            draw_figure(*arguments, **keywords)
        assert "\n" not in str(error.value)

    run, png = runs["one seed"], tmp_path / "x.png"
    fails("unknown figure 'mnn_heatmop'; known: .*mnn_heatmap.*; add one in metann/figures/", "mnn_heatmop", run=run, png=png)
    fails("unknown figure '_style'", "_style", run=run, png=png)
    fails("nothing to write", "mnn_cost", run=run)
    fails(r"no table .*mnn_results\.parquet", "mnn_cost", run=tmp_path, png=png)
    (tmp_path / "file").write_text("")
    fails("cannot write", "mnn_cost", run=run, png=tmp_path / "file" / "x.png")
    with pytest.raises(MetannError, match="unknown figure"):
        caption("mnn_heatmop")


def test_names_and_captions_need_no_matplotlib() -> None:
    code = "from metann.figures._captions import caption, tables_of; caption('mnn_cost'); tables_of('mnn_cost'); import sys"
    code += "; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "pandas", "numpy"} & set(loaded)
