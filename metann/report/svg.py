"""A figure's SVG as a part of a page: no script, nothing from outside, and names of its own among the other figures."""

import re
import xml.etree.ElementTree as ElementTree
from html import escape

from metann.errors import MetannError

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_DRAWN = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "ellipse", "line", "polyline", "polygon", "image", "mask"}
_DRAWN |= {"linearGradient", "radialGradient", "stop", "pattern", "text", "tspan", "symbol"}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline(text: str, name: str, described: str) -> str:
    """The same picture as an element of HTML.

    Only what draws is kept: no scripts, styles, events, metadata or comments, and links to its own parts or to embedded pixels alone.
    Names are put behind `name`, because matplotlib calls the parts of all figures alike. Coordinates lose what nobody sees (1/100 of a
    point), which halves their size.

    Args:
        text: a whole SVG file.
        name: of the figure, unique on the page.
        described: alternative text.

    Raises:
        MetannError: no SVG.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise MetannError(f"figure {name} is no SVG ({error}); draw it again") from None
    if root.tag != f"{_SVG}svg" or "viewBox" not in root.attrib:
        raise MetannError(f"figure {name} is no SVG with a viewBox; draw it again")
    width = float(root.get("viewBox", "").split()[2])
    attributes = f'viewBox="{escape(root.get("viewBox", ""))}" style="max-width:{width:.0f}pt"'
    inner = "".join(_element(child, name) for child in root)
    return f'<svg role="img" aria-label="{escape(described)}" {attributes}>{inner}</svg>'


def _element(node: ElementTree.Element, name: str) -> str:
    tag = node.tag.removeprefix(_SVG) if isinstance(node.tag, str) else ""
    if tag not in _DRAWN:
        return ""
    words = [tag, *(word for key, value in node.attrib.items() if (word := _attribute(key, value, name)))]
    inner = escape(node.text or "") if tag in ("text", "tspan") else ""
    inner += "".join(_element(child, name) for child in node)
    return f"<{' '.join(words)}>{inner}</{tag}>" if inner else f"<{' '.join(words)}/>"


def _attribute(key: str, value: str, name: str) -> str:
    """'key="value"', or nothing."""
    if key in (_LINK, "href"):
        if value.startswith("#"):
            return f'href="#{escape(f"{name}-{value[1:]}")}"'
        return f'href="{escape(value)}"' if value.startswith("data:image/png;base64,") else ""
    if key.startswith(("{", "on")):
        return ""
    if key == "id":
        return f'id="{escape(f"{name}-{value}")}"'
    if "url(" in value:
        value = re.sub(r"url\(\s*#", f"url(#{name}-", value)
        if re.search(r"url\((?!#)", value):
            return ""
    if key in ("d", "points"):
        value = " ".join(_NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value).split())
    return f'{key}="{escape(value)}"'
