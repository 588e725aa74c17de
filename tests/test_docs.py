"""Links: every relative one of the README and of docs/ leads to a file that is there, and to a heading of it."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from metann.registry import FAMILIES, figures

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks/RESULTS.md", ROOT / "CHANGELOG.md"]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Of all headings, as GitHub makes them: small letters, no punctuation, dashes for spaces; a second one of a name with -1."""
    found: dict[str, int] = {}
    for title in re.findall(r"^#+ +(.+?) *$", without_code(text), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
        if found[name]:
            found[f"{name}-{found[name]}"] = 0
    return set(found)


def broken(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    wrong = []
    for link in _LINK.findall(re.sub(r"`[^`]*`", "", without_code(text))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# One: `two`, 3\n# Twice\n# Twice\n[a](#one-two-3) [b](page.md#twice-1) ![c](no.png) [d](#no) [e](https://x.y/z)\n```\n[f](no.md)\n```\n"
    page.write_text(text)
    assert broken(page, text) == ["no.png", "#no"]


def test_every_family_has_a_page_that_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text()
    for family in FAMILIES:
        page = (ROOT / f"docs/{family}.md").read_text()
        assert f"](docs/{family}.md)" in readme
        for part in ("What it does", "The formula", "The picture", "The published numbers beside ours", "When not to use it"):
            assert f"\n## {part}\n" in page, f"{family} lacks {part}"
        assert set(re.findall(r"metann draw-figure (\w+)", page)) <= set(figures())
        for preset in re.findall(r"presets/([\w-]+)\.yaml", page):
            assert (ROOT / f"presets/{preset}.yaml").is_file()


def test_the_readme_shows_each_way_in_under_five_lines() -> None:
    section = (ROOT / "README.md").read_text().split("\n## With what you have\n")[1].split("\n## ")[0]
    for what in ("Your photos", "timm", "Your network", "Python"):
        (part,) = re.findall(rf"\*\*{what}\*\*(.*?)(?=\n\*\*|\Z)", section, re.DOTALL)
        for block in re.findall(r"^```\w*\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
            assert 0 < len(block.splitlines()) < 5, what
    assert section.count("```") == 6


def test_pictures_are_small() -> None:
    for path in (ROOT / "docs").iterdir():
        assert path.suffix == ".md" or path.stat().st_size < 150_000, f"{path.name} is large; name the command that draws it"
