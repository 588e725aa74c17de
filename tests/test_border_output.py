"""Names of classes from anywhere, drawn and printed as they are."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from synthetic import make_run

from metann.figures import _letters
from metann.figures._letters import drawable, families
from metann.figures._style import styled
from metann.report.text import aligned_table, escaped, markdown_table, width
from metann.stages.draw_figure import draw_figure
from metann.weights.published import cache_folder

pytestmark = pytest.mark.bad_input

NAMES = [
    "$x_1$ and $y$",
    "50 % | off",
    "<script>alert(1)</script>",
    "a_b_c *d*",
    "\u732b\u3068\u72ac",
    "\u05d0\u05d1\u05d2",
    "caf\u00e9",
    "[a](b) `c`",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_on_a_page(name: str) -> None:
    """What a Markdown reader shows is the name, and nothing else."""
    text = markdown_table(["class", "n"], [[escaped(name), "3"]])
    html = MarkdownIt("commonmark").enable("table").render(text)
    cell = re.search(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)[1]
    shown = cell.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&").strip("\u2068\u2069")
    assert shown == name
    assert "<script" not in html


def test_letters_from_right_to_left_are_kept_apart() -> None:
    assert escaped("\u05d0\u05d1") == "\u2068\u05d0\u05d1\u2069"
    assert escaped("\u0642\u0637\u0629 1").startswith("\u2068")
    assert escaped("plain") == "plain"
    assert (
        escaped("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")[1:-1] == "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )  # one word
    assert escaped("a\u202eb\u2028c") == "a b c"
    assert escaped("a\nb\x1b[31m") == "a b \\[31m"


def test_columns_of_a_terminal() -> None:
    assert [width(text) for text in ("abc", "\u732b", "e\u0301", "\uff21")] == [3, 2, 1, 2]
    lines = aligned_table(["class", "n"], [["\u732b\u3068\u72ac", "1"], ["cat", "10"]], left=(0,)).splitlines()
    assert {width(line) for line in lines} == {10}


def test_dollars_make_no_formula() -> None:
    with mpl.rc_context({"text.usetex": False}):
        figure = mpl.figure.Figure()
        for name in NAMES[:4]:
            text = figure.text(0, 0, drawable(name))
            shown, is_formula = text._preprocess_math(text.get_text())
            assert (shown, is_formula) == (name, False)
    assert drawable(3.5) == 3.5
    assert drawable("plain") == "plain"


def test_letters_that_no_font_has_are_numbers_and_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_letters, "_said", set())
    private = "\ue123"
    monkeypatch.setattr(_letters, "_letters", lambda: frozenset(range(128)) | {0xE9})
    assert drawable("caf\u00e9 \u732b!") == "caf\u00e9 U+732B!"
    assert drawable("\u72ac" + private) == "U+72ACU+E123"
    said = capsys.readouterr().out
    assert said.count("the fonts of this system lack the letter '\u732b'") == 1
    assert "Noto Sans CJK" in said


def test_fonts_of_this_system_come_after_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert families()[0] == "DejaVu Sans"

    class Font:
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr(_letters.fontManager, "ttflist", [Font("SimHei"), Font("Comic Sans"), Font("Noto Sans CJK SC")])
    assert _letters.families.__wrapped__() == ["DejaVu Sans", "Noto Sans CJK SC", "SimHei"]


def test_tables_keep_their_numbers() -> None:
    frame = pd.DataFrame({"name": ["$a$", "b"], "n": [1, 2], "mixed": ["$c$", None]})
    frame.attrs = {"class_names": ["$a$"], "dataset": "d"}
    seen = {}

    @styled
    def draw(tables: dict[str, pd.DataFrame]) -> object:
        seen.update(tables)

    draw({"t": frame})
    assert seen["t"]["n"].tolist() == [1, 2]
    assert seen["t"]["name"].tolist() == ["\\$a\\$", "b"]
    assert seen["t"].attrs == {"class_names": ["\\$a\\$"], "dataset": "d"}
    assert frame["name"].tolist() == ["$a$", "b"]


def test_a_figure_of_such_classes(tmp_path: Path) -> None:
    """Warnings are errors here: a letter that is drawn as a box would be one."""
    run = make_run(tmp_path, classes=len(NAMES), train=300, val=100, test=150, names=lambda c: NAMES[int(c)])
    for name in ("mnn_expert_sets", "mnn_misclassified"):
        draw_figure(name, run=run, svg=tmp_path / f"{name}.svg", png=tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_a_terminal_of_another_encoding(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metann", "prepare-data", "--data.name=digits", "--output=" + str(tmp_path / "\u732b")]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}  # and no HOME
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "\\u732b" in done.stdout


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METANN_CACHE", raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert "metann-cache-" in str(cache_folder())
