"""The digest follows the code and nothing else."""

import os
import sys
from pathlib import Path

import pytest

from metann.workflow import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "metann" / "part").mkdir(parents=True)
    (tmp_path / "metann" / "__init__.py").write_text("")
    (tmp_path / "metann" / "part" / "__init__.py").write_text("from metann.part.inner import f\n")
    (tmp_path / "metann" / "part" / "inner.py").write_text("def f():\n    return 1\n")
    (tmp_path / "metann" / "other.py").write_text("X = 1\n")
    (tmp_path / "metann" / "stage.py").write_text("def run():\n    from metann.part import f\n    return f()\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two writes of one size within one tick of the clock look alike
    return tmp_path / "metann"


def digest() -> str:
    for cached in (provenance._known, provenance.import_closure, provenance.code_digest):
        cached.cache_clear()
    return provenance.code_digest("metann.stage")


@pytest.fixture(autouse=True)
def _fresh_caches():
    yield
    for cached in (provenance._known, provenance.import_closure, provenance.code_digest):
        cached.cache_clear()


@pytest.mark.usefixtures("package")
def test_closure_follows_lazy_imports_and_packages() -> None:
    digest()
    assert provenance.import_closure("metann.stage") == ("metann", "metann.part", "metann.part.inner", "metann.stage")


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("part/inner.py", "def f():\n    return 2\n", True),
        ("part/inner.py", "# why\ndef f():\n    'what'\n\n    return 1  # here\n", False),
        ("part/inner.py", "def f():\n\n    return (1)\n", False),
        ("other.py", "X = 2\n", False),
        ("stage.py", "def run():\n    from metann.other import X\n    return X\n", True),
    ],
)
def test_what_changes_the_digest(package: Path, file: str, text: str, changes: bool) -> None:
    before = digest()
    (package / file).write_text(text)
    assert (digest() != before) == changes


def test_what_was_found_is_kept_while_the_source_stays(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_anew = digest()
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert digest() == read_anew
    kept = sorted(path.name.split(".")[0] for path in package.rglob("*.digest.json"))
    assert kept == ["__init__", "__init__", "inner", "stage"]
    parsed: list[Path] = []
    parse = provenance._parsed
    monkeypatch.setattr(provenance, "_parsed", lambda path: parsed.append(path) or parse(path))
    assert digest() == read_anew
    assert parsed == []

    stage, inner = package / "stage.py", package / "part" / "inner.py"
    for broken in ("", "{}", "[[], 1]", "[1"):
        next(package.glob("__pycache__/stage.*.digest.json")).write_text(broken)
        assert digest() == read_anew
    assert set(parsed) == {stage}
    inner.write_text("def f():\n    return 2\n")  # as long as before
    os.utime(inner, ns=(0, 0))  # and older
    assert digest() != read_anew
    assert parsed[-1] == inner
    before = digest()
    (package / "part" / "f.py").write_text("X = 1\n")  # `from metann.part import f` can mean a module now, with no other file changed
    assert digest() != before
    assert "metann.part.f" in provenance.import_closure("metann.stage")


def test_a_caption_on_a_page_counts_and_its_drawing_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = provenance.stage_code("collect_mnn", captions=["mnn_heatmap"])
    assert before != provenance.stage_code("collect_mnn")
    assert "metann.figures.mnn_heatmap" not in provenance.import_closure("metann.stages.collect_mnn")
    monkeypatch.setattr("metann.registry.literal", lambda *_: "another caption")
    assert provenance.stage_code("collect_mnn", captions=["mnn_heatmap"]) != before


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("evaluate_mnn", "metann.function_call"),  # SwitchFunction reads and spells every cell
        ("run_cascade", "metann.cascade.inputs"),  # read_cascade
        ("search_cascade", "metann.registry"),
    ],
)
def test_code_that_acts_counts(stage: str, module: str) -> None:
    assert module in provenance.import_closure(f"metann.stages.{stage}")


@pytest.mark.parametrize("stage", ["train_network", "train_expert", "export_probabilities", "run_cascade"])
def test_mending_a_download_trains_nothing_again(stage: str) -> None:
    assert "metann.weights.published" not in provenance.import_closure(f"metann.stages.{stage}")
    assert provenance.stage_code("train_network", published=True) != provenance.stage_code("train_network")
