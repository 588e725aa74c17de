"""docs/python.md and the README: every Python block runs, on a small run of digits; figures are drawn again in other colours."""

import re
import shutil
from pathlib import Path

import digits_networks
import matplotlib as mpl
import pytest
from conftest import ROOT
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from synthetic import make_run

import metann
from metann import layout
from metann.errors import MetannError
from metann.registry import figures
from metann.report.redraw import HOUSE, draw
from metann.stages.collect_mnn import collect_mnn
from metann.stages.collect_run import collect_run
from metann.stages.evaluate_mnn import evaluate_mnn


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/demo: a switch, experts for two thresholds, tables over families."""
    run = tmp_path_factory.mktemp("work") / "results/demo"
    data = digits_networks.prepared(run / layout.DATA)
    folder = layout.place(run, layout.NETWORK, network="switch", seed=0)
    weights = digits_networks.switch(data, folder)
    table = digits_networks.exported(data, weights)
    experts = layout.place(run, layout.EXPERTS, seed=0, dataset_threshold=0.1)
    digits_networks.experts(data, weights, experts, list(range(10)))
    evaluation = layout.place(run, layout.EVALUATION, seed=0, dataset_threshold=0.1)
    asked = sorted(experts.glob("class_*/expert_probabilities.parquet"))
    evaluate_mnn(switch=table, experts=asked, dataset_threshold=0.1, output=evaluation)
    collect_mnn(evaluations=[evaluation], expert_sets=[experts], output=run)
    collect_run(run=run, families=["mnn"], networks=[table])
    return run


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "least"), [("docs/python.md", 4), ("README.md", 1)])
def test_the_pages_run(page: str, least: int, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(demo, tmp_path / "results/demo")
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    assert len(found) >= least
    for block in found:
        assert len([line for line in block.splitlines() if line and not line.startswith("import")]) <= 5, "in five lines"
        exec(block, {})
    assert (tmp_path / "mine.pdf").stat().st_size > 5000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), val=120, test=250, skill=0.5)


def line_colours(figure: Figure) -> list[str]:
    return [to_hex(line.get_color()) for axes in figure.axes for line in axes.lines]


def pixels(figure: Figure) -> bytes:
    figure.canvas.draw()
    return bytes(figure.canvas.buffer_rgba())


def drawn(run: Path, **how: object) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw(run, "mnn_test_threshold", **how)
    FigureCanvasAgg(figure)
    return figure


def test_other_colours_and_nothing_else(run: Path) -> None:
    house = drawn(run)
    before = line_colours(house)
    other = drawn(run, colours={"black": "#dc143c"})
    assert HOUSE["black"] in before
    assert line_colours(other) == ["#dc143c" if colour == HOUSE["black"] else colour for colour in before]
    assert pixels(other) != pixels(house) == pixels(drawn(run)) == pixels(drawn(run, colours={"black": HOUSE["black"]}, settings={}))
    assert [text.get_text() for text in other.findobj(mpl.text.Text)] == [text.get_text() for text in house.findobj(mpl.text.Text)]


def test_settings_lie_over_those_of_the_house_for_this_figure_alone(run: Path) -> None:
    thresholds = {to_hex(mpl.colormaps["plasma"](0.0)), to_hex(mpl.colormaps["plasma"](0.78))}
    other = drawn(run, settings={"image.cmap": "plasma", "font.size": 13})
    assert thresholds <= set(line_colours(other))
    assert not thresholds & set(line_colours(drawn(run)))


@pytest.mark.parametrize("name", [name for name in figures() if name.startswith("mnn_")])
def test_every_figure_takes_other_colours(name: str, run: Path) -> None:
    gone = HOUSE["blue"]
    figure = metann.draw(run, name, colours={"blue": "#010203"})
    for artist in figure.findobj():
        for prop in ("get_color", "get_markerfacecolor"):
            if hasattr(artist, prop) and isinstance(getattr(artist, prop)(), str):
                assert getattr(artist, prop)().lower() != gone.lower()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"colours": {"blau": "red"}}, "unknown colour 'blau'; known: black, blue"),
        ({"colours": {"blue": "rot"}}, "unknown colour 'rot'; known: black, blue"),
        ({"settings": {"font.sise": 3}}, "settings are matplotlib's: .*font.sise"),
        ({"settings": {"font.size": "huge!"}}, "settings are matplotlib's: .*huge!"),
    ],
)
def test_what_is_no_colour_is_one_line(how: dict[str, dict[str, object]], says: str, run: Path) -> None:
    with pytest.raises(MetannError, match=says):
        draw(run, "mnn_test_threshold", **how)
