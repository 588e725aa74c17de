"""Names beside points: none on another, on a named point, or beyond the axes while there is room."""

import itertools

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from metann.figures._axes import macs_axis, round_ticks
from metann.figures._labels import Name, name_points, spread


def placed(points: list[tuple[float, float, str]], clear: list[tuple[float, float]] | None = None) -> tuple[Figure, list[Name]]:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.set(xlim=(0, 10), ylim=(0, 10))
    name_points(axes, points, clear or [])
    spread(figure)
    return figure, [child for child in axes.get_children() if isinstance(child, Name)]


CLOSE = {
    "one place": [(5.0, 5.0, "switch"), (5.0, 5.0, "second"), (5.0, 5.0, "longer")],
    "a column": [(5.0, 5 + 0.05 * k, f"setting({k})") for k in range(6)],
    "a corner": [(9.9, 9.9, "a name that is long"), (9.9, 9.8, "another long name")],
    "a crowd": [(4 + 0.3 * i, 5 + 0.1 * j, f"top_k({i}, {j})") for i in range(3) for j in range(3)],
}


@pytest.mark.parametrize("case", CLOSE)
def test_names_keep_out_of_each_others_way(case: str) -> None:
    figure, names = placed(CLOSE[case])
    figure.draw_without_rendering()
    found = [Text.get_window_extent(name) for name in names]
    assert [name.get_text() for name in names] == [text for *_, text in CLOSE[case]]
    for one, other in itertools.combinations(found, 2):
        assert Bbox.intersection(one, other) is None
    axes = figure.axes[0].bbox
    for box in found:
        assert axes.x0 <= box.x0
        assert box.x1 <= axes.x1


def test_a_name_alone_stands_close_and_without_a_line() -> None:
    figure, (name,) = placed([(5, 5, "alone")])
    assert name.get_position() == (6, -4)
    assert len(figure.axes[0].texts) == 1


def test_a_name_far_off_has_a_line_to_its_point() -> None:
    figure, names = placed([(5.0, 5.0, f"name {k}") for k in range(12)])
    far = [name for name in names if max(map(abs, name.get_position())) >= 12]
    lines = [text for text in figure.axes[0].texts if not text.get_text()]
    assert far
    assert len(lines) == len(far)


def test_a_name_covers_no_mark_that_shall_be_seen() -> None:
    figure, (name,) = placed([(5, 5, "a name")])
    figure.draw_without_rendering()
    there = Text.get_window_extent(name)
    mark = tuple(figure.axes[0].transData.inverted().transform(((there.x0 + there.x1) / 2, (there.y0 + there.y1) / 2)))
    figure, (name,) = placed([(5, 5, "a name")], [mark])
    figure.draw_without_rendering()
    box, (x, y) = Text.get_window_extent(name), figure.axes[0].transData.transform(mark)
    assert not (box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1)


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([7e7, 3.2e9], "millions", ["100", "200", "500", "1,000", "2,000"]),
        ([2e4, 1.3e5], "thousands", ["20", "30", "50", "70", "100", "150"]),
        ([2.6e6, 1.1e7], "millions", ["3", "5", "7", "10"]),
        ([5.0, 9.0], "each", ["5", "7", "10"]),
    ],
)
def test_an_axis_of_costs_has_round_numbers_in_the_unit_of_its_middle(values: list[float], unit: str, texts: list[str]) -> None:
    axes = Figure().subplots()
    macs_axis(axes, values)
    assert f"({unit})" in axes.get_xlabel()
    assert [axes.xaxis.get_major_formatter()(tick) for tick in axes.get_xticks()] == texts
    low, high = axes.get_xlim()
    assert low < min(values) < max(values) < high
    assert all(low <= tick <= high for tick in axes.get_xticks())


def test_ticks_are_no_more_than_asked_for() -> None:
    for low, high in ((1, 9), (0.02, 7), (3, 3e9)):
        assert 1 <= len(round_ticks(low, high, 7)) <= 11
    assert round_ticks(1, 1000) == [1, 3, 10, 30, 100, 300, 1000]
