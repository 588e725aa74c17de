"""The page of a run: one HTML file that needs nothing else. Pure: texts and tables in, HTML out.

All text is escaped where it enters the template, by jinja2; what is marked safe there comes from `metann.report.markdown` and
`metann.report.svg`, which let no HTML of others through. A policy in the head forbids everything from outside, and every script but ours.
"""

import base64
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

from metann.report._template import PAGE, SCRIPT, STYLE
from metann.report.markdown import inline_html, page_html
from metann.report.overview import verdicts_of
from metann.report.svg import inline


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: what is shown.
        sort: the number by which its column is sorted; None: the text says.
    """

    text: str
    sort: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        header: names of its columns.
        rows: cells; a plain text will do.
        texts: columns that hold words, and so are set to the left.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: Collection[int] = (0,)

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[str | Cell]], texts: Collection[int] = (0,)) -> "Table":
        """A table whose cells may be texts."""
        return cls(header, [[cell if isinstance(cell, Cell) else Cell(str(cell)) for cell in row] for row in rows], texts)


@dataclass(frozen=True)
class Picture:
    """A figure: its name, its SVG as an element, its caption as HTML."""

    name: str
    svg: str
    caption: str

    @classmethod
    def of(cls, name: str, svg: str, caption: str) -> "Picture":
        """From a whole SVG file and a caption in Markdown, which is the alternative text too."""
        return cls(name, inline(svg, name, caption.replace("**", "").replace("`", "")), inline_html(caption))


@dataclass(frozen=True)
class Family:
    """What the page says of a family: its verdicts as HTML, best first, its page, and its figures."""

    name: str
    verdicts: Sequence[str]
    html: str
    figures: Sequence[Picture]

    @classmethod
    def of(cls, name: str, page: str, sentences: Sequence[str], figures: Sequence[Picture], families: Collection[str]) -> "Family":
        """From its page in Markdown and what the picture over families says of it."""
        places = {f"figures/{figure.name}.{suffix}": figure.name for figure in figures for suffix in ("png", "svg")}
        places |= {f"{family}.md": family for family in families}
        verdicts = [inline_html(text) for text in (*verdicts_of(page), *sentences)]
        return cls(name, verdicts, page_html(page, places, without=("Figures",)), figures)


@dataclass(frozen=True)
class Latency:
    """What was measured: sentences as HTML, and a table."""

    sentences: Sequence[str]
    table: Table


@dataclass(frozen=True)
class Facts:
    """All that stands on the page."""

    run: str
    about: str
    families: Sequence[Family]
    figures: Sequence[Picture]
    side_by_side: Table
    intervals: str
    budgets: Table
    pack: str
    all_settings: Table
    settings: int
    all_note: str
    notices: Sequence[str]
    made: Table
    configuration: str
    times: Table
    times_note: str
    latency: Latency | None = None


def render(facts: Facts) -> str:
    """The page as text."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(PAGE).render(facts=facts, style=STYLE, script=SCRIPT, policy=policy)
