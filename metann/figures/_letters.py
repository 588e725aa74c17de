"""Names from outside as texts that are drawn as they are: no formulas, and no boxes where a font lacks a letter."""

import functools
from typing import Any

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

FIRST = "DejaVu Sans"
# Fonts that systems have for the letters which the first lacks: Chinese, Japanese, Korean, Indian, Thai, emoji.
_OTHERS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei"),
    *(
        "Droid Sans Fallback",
        "Microsoft YaHei",
        "SimHei",
        "PingFang SC",
        "Hiragino Sans",
        "Heiti TC",
        "Malgun Gothic",
        "Apple SD Gothic Neo",
    ),
    *(
        "Noto Sans Arabic",
        "Noto Sans Hebrew",
        "Noto Sans Devanagari",
        "Noto Sans Bengali",
        "Noto Sans Tamil",
        "Noto Sans Thai",
        "Noto Sans",
    ),
    *("Arial Unicode MS", "Unifont", "FreeSans", "Symbola", "Noto Emoji"),
)
_said: set[str] = set()


@functools.cache
def families() -> list[str]:
    """The first font, and what of the others this system has."""
    there = {font.name for font in fontManager.ttflist}
    return [FIRST, *(name for name in _OTHERS if name in there)]


@functools.cache
def _letters() -> frozenset[int]:
    """All letters that these fonts have, as numbers."""
    found: set[int] = set()
    for name in families():
        found |= get_font(findfont(FontProperties(family=name))).get_charmap().keys()
    return frozenset(found)


def drawable(text: Any) -> Any:
    """A text without formulas, each letter that no font has as its number (`U+732B`); what is no text stays as it is.

    The first letter that is lacking is said in the log, with the cure.
    """
    if not isinstance(text, str) or (text.isascii() and "$" not in text and text.isprintable()):
        return text
    lacking = sorted({letter for letter in text if ord(letter) not in _letters()})
    new = [letter for letter in lacking if letter.isprintable() and letter not in _said]
    if new:
        if not _said:
            print(
                f"the fonts of this system lack the letter {new[0]!r} and perhaps others, which are drawn as numbers; "
                "install a font that has them, such as Noto Sans CJK"
            )
        _said.update(new)
    return "".join(f"U+{ord(letter):04X}" if letter in lacking else "\\$" if letter == "$" else letter for letter in text)
