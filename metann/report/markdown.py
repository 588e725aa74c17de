"""Pages in Markdown as parts of a page in HTML: no HTML of theirs, no pictures, no links but to places of the same page."""

from collections.abc import Mapping

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


def inline_html(text: str) -> str:
    """A sentence or two without a paragraph around them."""
    tokens = _PARSER.parseInline(text)
    for token in tokens:
        token.children = _kept(token.children or [], {})
    return str(_PARSER.renderer.render(tokens, _PARSER.options, {}))


def page_html(text: str, places: Mapping[str, str], below: int = 1, without: tuple[str, ...] = ()) -> str:
    """A page as the inside of a section.

    Args:
        text: Markdown; its first heading of level 1 is left out.
        places: what links may point at -> the name of that place on the page; of other links the words stay.
        below: how many levels its headings go down.
        without: headings whose parts are left out.
    """
    kept: list[Token] = []
    left_out = 0  # level of the heading whose part is left out
    tokens = _PARSER.parse(text)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            level, title = int(token.tag[1:]), tokens[number + 1].content
            if left_out and level <= left_out:
                left_out = 0
            if not left_out and (level == 1 or title in without):
                left_out = 1_000 if level == 1 else level
        if left_out == 1_000:
            left_out = 0 if token.type == "heading_close" else left_out
            continue
        if left_out:
            continue
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + below)}"
        if token.type == "inline":
            token.children = _kept(token.children or [], places)
        kept.append(token)
    html = str(_PARSER.renderer.render(_not_empty(kept), _PARSER.options, {}))
    return html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")


def _kept(tokens: list[Token], places: Mapping[str, str]) -> list[Token]:
    """Without pictures; links point at places of the page, or are their words."""
    kept, open_links = [], []
    for token in tokens:
        if token.type == "image":
            continue
        if token.type == "link_open":
            place = places.get(str(token.attrs.get("href", "")))
            open_links.append(place is not None)
            if place is None:
                continue
            token.attrs = {"href": f"#{place}"}
        if token.type == "link_close" and not open_links.pop():
            continue
        kept.append(token)
    return kept


def _not_empty(tokens: list[Token]) -> list[Token]:
    """Without the paragraphs that held a picture alone."""
    kept: list[Token] = []
    skipping = 0
    for number, token in enumerate(tokens):
        if skipping:
            skipping -= 1
            continue
        inside = tokens[number + 1] if number + 1 < len(tokens) else None
        if token.type == "paragraph_open" and inside is not None and inside.type == "inline":
            words = [
                child for child in inside.children or [] if child.type != "softbreak" and (child.type != "text" or child.content.strip())
            ]
            if not words:
                skipping = 2
                continue
        kept.append(token)
    return kept
