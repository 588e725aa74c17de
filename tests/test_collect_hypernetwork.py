"""Stage collect_hypernetwork and the figures of hypernetworks, on runs that a user may have."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawings import draws, repeats
from hypernetwork_synthetic import ARMS, make_run
from scipy import stats

from metann import registry
from metann.errors import MetannError
from metann.figures._captions import caption, tables_of
from metann.hypernetwork.answers import QUESTIONS, over_shots
from metann.hypernetwork.trained_tables import crossing_point
from metann.report.overview import verdicts_of
from metann.stages.collect_hypernetwork import collect_hypernetwork
from metann.tables.frames import read_frame

FIGURES = [name for name in registry.figures() if name.startswith("hypernetwork_")]
SOME = {name: ARMS[name] for name in ("zero_shot", "z_adapt", "z_adapt_random_generator", "random_subspace", "finetune_net")}
WORSE = SOME | {"z_adapt": (0.6, 0.6, 8), "finetune_net": (0.9, 0.95, 1209), "zero_shot": (0.7, 0.7, 0)}
EQUAL = SOME | {"z_adapt": (0.9, 0.9, 8), "finetune_net": (0.88, 0.88, 1209)}
ALIKE = {"noise": 0.002, "images": 2000, "draws": 2, "shots": (5, 25), "classes": 16, "test": 6}
RUNS: dict[str, dict] = {
    "one seed": {"parts": [{"experiment": "E1", "use": 0}, {"experiment": "E2b", "multiclass": False}]},
    "three seeds, four experiments": {
        "parts": [
            {"experiment": name, "classes": 8, "arms": SOME, "shots": (5, 25), "draws": 2, "multiclass": name == "E1"}
            | ({"test": 1} if name == "E2d" else {})
            for name in ("E1", "E2", "E2b", "E2d")
        ],
        "seeds": (0, 1, 2),
    },
    "long names, many classes": {
        "parts": [
            {"experiment": "E1", "classes": 40, "arms": SOME, "names": "a class with a name of some length, number {}".format}
            | {"multiclass": False}
        ]
    },
    "one arm, one number of shots": {"parts": [{"experiment": "E2b", "arms": {"z_adapt": ARMS["z_adapt"]}, "shots": (10,), "draws": 1}]},
    "no z_adapt": {"parts": [{"arms": {"finetune_net": ARMS["finetune_net"]}, "multiclass": False}]},
    "two generators": {
        "parts": [{"generator": name, "use": use, "arms": SOME, "draws": 1} for name, use in (("affine", 0.2), ("mlp", 0.42))],
        "seeds": (0, 1),
    },
    "z is worse": {"parts": [{"arms": WORSE} | ALIKE], "seeds": (0, 1, 2)},
    "z is as good": {"parts": [{"arms": EQUAL} | ALIKE], "seeds": (0, 1, 2)},
}
DRAWN = list(RUNS)[:5]
TABLES = {"results", "curves", "reliance", "codes", "interpolation", "layers", "tasks", "multiclass", "networks", "arms", "differences"} | {
    "generators",
    "settings",
    "verdicts",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make_run(tmp_path_factory.mktemp("run"), figures=FIGURES, **RUNS[name])
        return made[name]

    return get


def page(folder: Path) -> str:
    return (folder / "hypernetwork.md").read_text()


@pytest.mark.parametrize("name", RUNS)
def test_page_answers_every_question(name: str, run: Callable[[str], Path]) -> None:
    folder = run(name)
    text = page(folder)
    assert verdicts_of(text) == [text.split("\n\n")[1]]
    assert text.count("\n### ") == len(QUESTIONS)
    for question in QUESTIONS:
        assert f"### {question}" in text
    for section in ("What was done", "Accuracy on held-out tasks", "Reliance on z", "What z changes"):
        assert f"## {section}" in text
    assert ("classes from the same generator" in text) == bool(len(read(folder, "multiclass")))
    assert ("## Generators" in text) == (name == "two generators")
    assert "nan" not in text
    assert "inf" not in text
    for figure in FIGURES:
        assert f"figures/{figure}.png" in text
    for table in [part for part in text.split("\n\n") if part.startswith("|")]:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert {path.stem.removeprefix("hypernetwork_") for path in (folder / "tables").glob("*.parquet")} == TABLES


def read(folder: Path, table: str) -> pd.DataFrame:
    return read_frame(folder / f"tables/hypernetwork_{table}.parquet", f"hypernetwork_{table}")


def test_no_is_said_plainly(run: Callable[[str], Path]) -> None:
    (first,) = verdicts_of(page(run("z is worse")))
    assert first.endswith("E2b (8 of 1,209 numbers): no, with 5 and 25 images per class.**")
    section = page(run("z is worse")).split("### Does z help at all?")[1].split("\n## ")[0]
    assert "**no, with 5 and 25 images per class**" in section


def test_yes_is_said_plainly(run: Callable[[str], Path]) -> None:
    text = page(run("z is as good"))
    (verdict,) = verdicts_of(text)
    assert verdict.endswith("E2b (8 of 1,209 numbers): yes, with 5 and 25 images per class.**")
    assert "**not a general network: it depends on z**" in text
    assert "on trained tasks **yes**" in text
    assert "on new tasks **yes, with 5 and 25 images per class**" in text
    assert "against z_adapt_random_generator: **yes, with 5 and 25 images per class**" in text
    assert "against random_subspace: **yes, with 5 and 25 images per class**" in text


def test_the_page_has_the_numbers_of_the_tables(run: Callable[[str], Path]) -> None:
    folder = run("three seeds, four experiments")
    text = page(folder)
    row = (
        read(folder, "differences")
        .query("experiment == 'E2b' and other == 'finetune_net' and shots == 5 and measure == 'accuracy'")
        .iloc[0]
    )
    expected = f"with 5: {100 * row['difference']:+.2f} (95 % interval {100 * row['low']:+.2f} to {100 * row['high']:+.2f})"
    assert expected in text
    assert (row["units"], row["seeds"]) == (3, 3)
    generated = read(folder, "multiclass").query("split == 'test'")
    accuracy_S = generated["accuracy"].to_numpy()
    half = stats.t.ppf(0.975, len(accuracy_S) - 1) * stats.sem(accuracy_S)
    interval = f"{100 * (accuracy_S.mean() - half):.2f} to {100 * (accuracy_S.mean() + half):.2f}"
    assert f"| generated, `E1_mlp` | {100 * accuracy_S.mean():.2f} % | {interval} |" in text
    verdicts = read(folder, "verdicts")
    assert set(verdicts["question"]) == {
        *("whole_network", "zero_shot", "random_subspace", "z_adapt_random_generator", "helps"),
        *("general_network", "mirror_trained", "mirror_new"),
    }
    # A flip whose mirror was trained (E2), new pairs (E2b) and new classes (E2d) are asked; an anchor has no mirrors (E1).
    assert set(verdicts.loc[verdicts["question"] == "mirror_new", "experiment"]) == {"E2", "E2b", "E2d"}


def test_general_network_is_found(run: Callable[[str], Path]) -> None:
    text = page(run("one seed"))
    section = text.split("### Did training give one general network")[1].split("\n### ")[0]
    first, second = [line for line in section.splitlines() if line.startswith("- ")]
    assert first.startswith("- E1, generator `mlp`: **one general network**")
    arms = read(run("one seed"), "arms").query("experiment == 'E1' and arm == 'zero_shot'")
    assert f"the mean z (zero_shot) is right on {100 * arms['accuracy'].iloc[0]:.2f} %" in first
    assert second.startswith("- E2b, generator `mlp`: **not a general network: it depends on z**")


def test_validation_chooses_whom_the_page_speaks_of(run: Callable[[str], Path]) -> None:
    text = page(run("two generators"))
    assert "generator `affine`:" not in text
    assert "generator `mlp`:" in text
    assert "| **E2b, `mlp`** |" in text
    assert "| E2b, `affine` |" in text


def test_words_over_shots() -> None:
    def words(**states: str) -> str:
        return over_shots(pd.DataFrame({"shots": [int(n[1:]) for n in states], "state": list(states.values())}))

    assert words(n1="yes") == "yes, with 1 image per class"
    assert words(n1="yes", n5="yes") == "yes, with 1 and 5 images per class"
    assert words(n1="yes", n5="yes", n25="no", n1000="open") == "yes with 1 and 5 images per class, no with 25, not shown with 1,000"
    assert words(n1="open", n5="no", n50="no") == "no with 5 and 50 images per class, not shown with 1"
    assert over_shots(pd.DataFrame({"shots": [-1], "state": ["open"]})) == "not shown"


def test_crossing_point() -> None:
    position = np.linspace(0, 1, 5)
    assert crossing_point(position, np.array([1.0, 0.75, 0.6, 0.2, 0])) == pytest.approx(0.5 + 0.25 * 0.1 / 0.4)
    assert crossing_point(position, np.array([1.0, 0.5, 0, 0, 0])) == pytest.approx(0.25)
    assert np.isnan(crossing_point(position, np.full(5, 0.9)))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_draws(figure: str, name: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    draws(figure, run(name), tmp_path)


@pytest.mark.parametrize("figure", FIGURES)
def test_same_tables_give_the_same_bytes(figure: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    repeats(figure, run("one seed"), tmp_path)
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_all_six_figures_are_there() -> None:
    assert {f"hypernetwork_{name}" for name in ("shots", "loss", "reliance", "numbers", "codes", "interpolation")} == set(FIGURES)
    for figure in FIGURES:
        assert caption(figure)
        assert set(tables_of(figure)) <= {f"hypernetwork_{table}" for table in TABLES}


def test_same_evaluations_give_the_same_bytes(run: Callable[[str], Path], tmp_path: Path) -> None:
    folder = run("one seed")
    again = tmp_path / folder.name
    collect_hypernetwork(evaluations=sorted(folder.glob("hypernetwork/*/*/evaluation")), output=again, figures=FIGURES)
    for path in [folder / "hypernetwork.md", *(folder / "tables").glob("*.parquet")]:
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_missing_evaluation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="no table"):
        collect_hypernetwork(evaluations=[tmp_path], output=tmp_path)
