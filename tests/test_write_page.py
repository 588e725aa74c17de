"""The page of a run: what stands on it, that nothing of others gets through, and how a browser shows it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from browser import Browser, needed
from conftest import ROOT
from synthetic import make_run

from metann import layout
from metann.errors import MetannError
from metann.report.markdown import inline_html, page_html
from metann.report.svg import inline
from metann.stages.collect_run import collect_run
from metann.stages.draw_figure import draw_figure
from metann.stages.write_page import write_page
from metann.tables.frames import read_frame, write_frame

HOSTILE = (
    '<img src=x onerror=alert(1)> </script><script>alert("{}")</script> [a](javascript:alert(2)) ![b](http://evil.example/p.png) & "q"'
)
FIGURES = ["pareto", "mnn_heatmap", "mnn_misclassified", "mnn_expert_sets"]


class Reader(HTMLParser):
    """Tags, addresses and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._inside):
            self.words += data


def add_jobs(run: Path) -> None:
    for name, seconds in (("mnn/collect_mnn.tsv", 1.5), ("mnn/seed_0/dataset_threshold_0.10/train_expert_0.tsv", 20)):
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t213.35\n")


def measured(run: Path) -> None:
    """Milliseconds of all settings: more multiply-accumulates, less time."""
    results = read_frame(run / layout.RESULTS, "results")
    test = results[(results["split"] == "test") & (results["seed"] == 0)].drop_duplicates(["family", "setting"])
    parts = []
    for size in (1, 512):
        rows = test[["family", "setting", "role", "seed"]].assign(batch_size=size, images=512, repeats=3)
        ms = 1e6 / test["macs"]
        parts.append(rows.assign(ms=ms, low=0.99 * ms, high=1.01 * ms))
    metadata = {"machine": "a <b>machine</b>", "threads": 1, "skipped": ["cascade x: not measured: <i>no weights</i>"]}
    write_frame(layout.place(run, layout.TABLE, table=layout.RUN_LATENCY), pd.concat(parts), layout.RUN_LATENCY, metadata)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collected run whose class names are an attack."""
    folder = make_run(
        tmp_path_factory.mktemp("run") / "a run",
        names=HOSTILE.format,
        skill=0.5,
        val=120,
        test=250,
        seeds=(0, 1),
        collect={"figures": FIGURES[1:]},
    )
    info = {"name": "x", "digest": "x", "class_names": ["a", "b"], "channels": 1, "image_size": 8, "mean": [0.5], "std": [0.5]}
    info |= {"skipped": {"no image <u>file</u>": 3}, "assumed": [HOSTILE], "notices": []}
    (folder / "data").mkdir()
    (folder / "data" / "dataset.json").write_text(json.dumps(info))
    collect_run(run=folder, families=["mnn"], networks=sorted(folder.glob("networks/*/*/probabilities.parquet")))
    measured(folder)
    add_jobs(folder)
    for figure in [*FIGURES, "pareto_ms"]:
        draw_figure(figure, run=folder, svg=layout.place(folder, f"{layout.FIGURE}.svg", figure=figure))
    write_page(
        run=folder,
        families=["mnn"],
        figures=[*FIGURES, "pareto_ms"],
        latency=True,
        configuration=json.dumps({"run": "x", "data": {"classes": [HOSTILE]}}),
        command="snakemake --configfile '<b>.yaml'",
    )
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Reader:
    return Reader((run / "index.html").read_text())


def test_everything_stands_on_the_page(run: Path, page: Reader) -> None:
    verdict = next(line for line in (run / "mnn.md").read_text().splitlines() if line.startswith("**"))
    assert re.sub(r"[*`]", "", verdict) in page.words
    for text in ("What a budget buys", "Side by side", "the frontier of", "one image at a time", "have the two orders against one another"):
        assert text.lower() in page.words.lower(), text
    assert "3 left out: no image <u>file</u>" in page.words
    assert "not measured: <i>no weights</i>" in page.words
    assert "train_expert" in page.words
    shown = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(shown) == len(FIGURES) + 1
    assert all(len(attributes["aria-label"] or "") > 50 and attributes["role"] == "img" for attributes in shown)
    assert page.words.index("Verdicts") < page.words.index("What a budget buys") < page.words.rindex("How it was made")


def test_hostile_names_are_shown_and_do_nothing(run: Path, page: Reader) -> None:
    text = (run / "index.html").read_text()
    assert "onerror=alert(1)>" in page.words  # shown as it is
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed", "base", "form", "b", "i", "u")]
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/png;base64,")) or value == "data:,", (tag, value)
    assert "url(http" not in text
    assert "@import" not in text


def test_no_two_parts_have_one_name(page: Reader) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    places = {
        attributes["href"][1:] for tag, attributes in page.tags if tag in ("a", "use") and (attributes.get("href") or "").startswith("#")
    }
    assert places <= set(names)


def test_the_page_is_the_same_again(run: Path) -> None:
    before = (run / "index.html").read_bytes()
    arguments = {"figures": [*FIGURES, "pareto_ms"], "latency": True, "command": "snakemake --configfile '<b>.yaml'"}
    write_page(run=run, families=["mnn"], configuration=json.dumps({"run": "x", "data": {"classes": [HOSTILE]}}), **arguments)
    assert (run / "index.html").read_bytes() == before
    assert len(before) < 3_000_000


def test_bad_input_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MetannError, match=r"no table .*results\.parquet"):
        write_page(run=tmp_path)
    bad = run / "mnn/collect_mnn.tsv"
    before = bad.read_bytes()
    for content, says in ((b"s\tx\nmany\t1\n", "is no benchmark"), (b"\xff\xfe\x00", "cannot read .* as text")):
        bad.write_bytes(content)
        with pytest.raises(MetannError, match=says):
            write_page(run=run)
    bad.write_bytes(before)


def test_tables_of_others_in_the_folder_of_a_run_are_left_alone(run: Path) -> None:
    known = [rule for _, rule in layout.benchmarks(run)]
    for name in ("notes.tsv", "networks/notes_1.tsv", "mnn/seed_0/my collect_mnn.tsv"):
        (run / name).write_bytes(b"\xff\xfe what I think of it")
    assert [rule for _, rule in layout.benchmarks(run)] == known == ["collect_mnn", "train_expert"]


def test_every_rule_that_is_timed_is_on_the_page() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = {match.removesuffix("_{group[0]}") for match in re.findall(r"/(\w+(?:_\{group\[0\]\})?)\.tsv\"", text)}
    assert named | {"adapt_tasks"} == layout.BENCHMARKED


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**No.** `a`", "<strong>No.</strong> <code>a</code>"),
        ("<b>x</b> & y", "&lt;b&gt;x&lt;/b&gt; &amp; y"),
        ("[here](javascript:alert(1)) [there](http://x.example)", "[here](javascript:alert(1)) there"),
        ("![a](x.png)!", "!"),
    ],
)
def test_sentences(markdown: str, html: str) -> None:
    assert inline_html(markdown) == html


def test_pages_keep_their_text_alone() -> None:
    text = "# title\n\nfirst [f](figures/a.png) [o](other.md)\n\n## part\n\n![p](figures/a.png)\n\n| a | b |\n| --- | ---: |\n"
    text += "| <i>x</i> | 1 |\n\n"
    html = page_html(
        text + "## Figures\n\n- [a](figures/a.png): so\n\n### inner\n\nmore\n\n## Words\n\nend",
        {"figures/a.png": "a"},
        without=("Figures",),
    )
    assert html.startswith('<p>first <a href="#a">f</a> o</p>\n<h3>part</h3>\n<div class="scroll"')
    assert "<td>&lt;i&gt;x&lt;/i&gt;</td>" in html
    assert html.endswith("<h3>Words</h3>\n<p>end</p>\n")
    assert "title" not in html
    assert "so" not in html
    assert "more" not in html


def test_svg_keeps_what_draws() -> None:
    text = """<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 5"
    onload="alert(1)"><script>alert(2)</script><style>* {}</style><!-- <b> --><defs><clipPath id="c"><rect x="0" y="0" width="3"
    height="3"/></clipPath></defs><g clip-path="url(#c)" onclick="alert(3)"><use xlink:href="#c"/><use xlink:href="http://evil.example/#x"/>
    <path d="M 1.123456 2 L 3.999999 4" style="fill: url(http://evil.example/)"/><foreignObject><p>x</p></foreignObject></g></svg>"""
    found = inline(text, "f", 'a "b" <c>')
    assert found.startswith('<svg role="img" aria-label="a &quot;b&quot; &lt;c&gt;" viewBox="0 0 10 5"')
    assert 'd="M 1.12 2 L 4.00 4"' in found
    assert 'clip-path="url(#f-c)"' in found
    assert 'href="#f-c"' in found
    assert not [word for word in ("alert", "evil", "foreign", "style>", "<!--", "<p>") if word in found]
    for broken in ("no svg", "<html/>", '<svg xmlns="http://www.w3.org/2000/svg"/>'):
        with pytest.raises(MetannError, match="draw it again"):
            inline(broken, "f", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    needed()
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it(browser: Browser, run: Path, width: int, dark: bool) -> None:
    browser.console.clear()
    browser.requests.clear()
    browser.show(run / "index.html", width, dark)
    assert browser.console == []
    assert [address for address in browser.requests if not address.startswith(("file:", "data:"))] == []
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    boxes = browser.value(
        "[...document.querySelectorAll('figure svg')].map(s => [s.getBoundingClientRect().width, s.getBoundingClientRect().height])"
    )
    assert len(boxes) == len(FIGURES) + 1
    assert all(box[0] > 300 and box[1] > 100 for box in boxes)
    assert browser.value("matchMedia('(prefers-color-scheme: dark)').matches") == dark
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) > 128) == (not dark)


@pytest.mark.slow
def test_tables_are_sorted_by_their_heads(browser: Browser, run: Path) -> None:
    browser.show(run / "index.html", 1400)
    table = "[...document.querySelectorAll('#all-settings table')].pop()"
    column = browser.value(f"[...{table}.tHead.rows[0].cells].findIndex(c => c.textContent === 'MACs')")
    numbers = f"[...{table}.tBodies[0].rows].map(r => Number(r.cells[{column}].dataset.sort))"
    browser.value(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').click()")
    assert browser.value(numbers) == sorted(browser.value(numbers))
    browser.value(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').click()")
    assert browser.value(numbers) == sorted(browser.value(numbers), reverse=True)
    assert browser.console == []
