"""Stages evaluate_mixture and collect_mixture, the page and the figures, on runs that a user may have."""

from collections.abc import Callable
from pathlib import Path

import pytest
from drawings import draws, repeats
from mixture_synthetic import CONTROLS, SETTINGS, make_gate, make_run, write_control, write_run

from metann import registry
from metann.errors import MetannError
from metann.mixture.controls import CONTROLS as ROLES
from metann.stages.collect_mixture import collect_mixture
from metann.stages.evaluate_mixture import evaluate_mixture
from metann.tables.frames import read_frame

FIGURES = [name for name in registry.figures() if name.startswith("mixture_")]
LONG = "a setting with a rather long name, number {}"
RUNS = {
    "one seed": {"seeds": (0,)},
    "three seeds": {},
    "one setting, no controls": {"settings": {"expectation": {"kind": "noisy"}}, "controls": [], "seeds": (0, 1)},
    "all collapsed": {"settings": {name: {"kind": "collapsed"} for name in ("first", "second")}, "seeds": (0, 1)},
    "many": {
        "settings": {LONG.format(i): {"kind": "noisy", "experts": 4 + i} for i in range(10)},
        "classes": 25,
        "n": 1500,
        "names": [f"a class with a name of some length, number {k}" for k in range(25)],
        "seeds": (0,),
    },
    "a bound": {
        "settings": SETTINGS | {"no_gate": {"kind": "specialised", "skill": 1.0, "options": {"gate": {"kind": "oracle_loss"}}}},
        "seeds": (0, 1),
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make_run(tmp_path_factory.mktemp("run"), figures=FIGURES, **RUNS[name])
        return made[name]

    return get


def table(folder: Path, name: str):
    return read_frame(folder / f"tables/mixture_{name}.parquet", f"mixture_{name}")


@pytest.mark.parametrize("name", RUNS)
def test_the_page_answers_the_questions(name: str, run: Callable[[str], Path]) -> None:
    folder = run(name)
    text, choice, runs = (folder / "mixture.md").read_text(), table(folder, "choice").set_index("role"), table(folder, "runs")
    first = next(line for line in text.splitlines() if line.startswith("**"))
    best, clean = choice.loc["lowest_error"], choice.loc["cleanest"]
    assert f"Lowest error: `{best['setting']}`, {100 * best['error']:.2f} %" in first
    assert f"Cleanest decomposition: `{clean['setting']}`, I(E;Y) {clean['mutual_information']:.2f}" in first
    assert ("t interval" in first) == (runs["seed"].nunique() > 1)
    for section in (
        "Against what is simpler",
        "Which runs collapsed",
        "All methods",
        "Every run",
        "One change at a time",
        "Gate or expert",
    ):
        assert f"## {section}" in text
    test = runs[(runs["split"] == "test") & (runs["experts"] > 1)]
    assert text.count("| **collapsed** |") == test["collapsed"].sum()
    for row in test[test["collapsed"]].itertuples():
        assert f"- `{row.setting}`, seed {row.seed}: usage entropy" in text
    for setting in runs["setting"].unique():
        assert f"`{setting}`" in text
    for figure in FIGURES:
        assert f"![{figure}](figures/{figure}.png)" in text
    assert "nan" not in text
    assert "inf " not in text
    for part in text.split("\n\n"):
        if part.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in part.splitlines()}) == 1
            assert len(part.splitlines()) > 2


def test_every_control_is_compared(run: Callable[[str], Path]) -> None:
    folder = run("three seeds")
    text, comparisons = (folder / "mixture.md").read_text(), table(folder, "comparisons")
    for role, words in ROLES.items():
        assert f"against {words} (`" in text
        assert role in set(comparisons["role"])
    assert "Not compared" not in text
    assert (
        "Not compared, because the run has no such control: one expert alone"
        in (run("one setting, no controls") / "mixture.md").read_text()
    )


def test_every_run_is_in_the_tables(run: Callable[[str], Path]) -> None:
    folder = run("three seeds")
    runs = table(folder, "runs")
    assert len(runs) == len(SETTINGS) * 3 * 3
    assert set(runs["setting"]) == set(SETTINGS)
    assert len(table(folder, "controls")) == len(CONTROLS) * 3 * 3
    for name in ("experts", "history", "confusion"):
        assert table(folder, name).groupby(["setting", "seed"]).ngroups == len(SETTINGS) * 3
    assert table(folder, "runs").attrs["seeds"] == [0, 1, 2]


def test_the_confounds_are_answered(run: Callable[[str], Path]) -> None:
    text = (run("three seeds") / "mixture.md").read_text()
    assert "Here weight decay is 0.0 for every method and final softmax is false for every method." in text
    assert "| `expectation_importance` → `attentive_importance` | gate: kind mlp → kind attention |" in text
    assert "| `expectation` → `prechosen` | phases: none → [experts, gate] |" in text
    assert "With everything else the same, kind mlp → kind attention (`expectation` → `attentive`) gains accuracy, +28.89 points" in text
    assert "`expectation` → `attentive_importance`" not in text  # these differ in two things


def test_a_mixture_that_looks_at_labels_is_never_chosen(run: Callable[[str], Path]) -> None:
    folder = run("a bound")
    runs = table(folder, "runs")
    assert runs[runs["setting"] == "no_gate"]["uses_labels"].all()
    assert "no_gate" not in set(table(folder, "choice")["setting"])
    assert "`no_gate` (looks at the true class: a bound, no method)" in (folder / "mixture.md").read_text()


def test_attribution_is_told_where_class_sets_were_given(run: Callable[[str], Path]) -> None:
    assert "Where experts were given their classes beforehand" in (run("one seed") / "mixture.md").read_text()
    assert "No method of this run has experts on prechosen classes" in (run("all collapsed") / "mixture.md").read_text()


def test_the_log_has_the_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("collapsed", "specialised"):
        home = write_run(tmp_path, make_gate(kind))
        evaluate_mixture(gate=home / "gate.parquet", output=home / "evaluation")
        assert ("COLLAPSED" in capsys.readouterr().out) == (kind == "collapsed")


def test_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    for copy in "ab":
        make_run(tmp_path / copy / "run", seeds=(0,))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 50
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    folders = []
    for seed in (0, 1):
        home = write_run(tmp_path, make_gate(seed=seed))
        evaluate_mixture(gate=home / "gate.parquet", output=home)
        folders.append(home)
    wide = write_control(tmp_path, "wide", 0, 0.8)

    def fails(text: str, **arguments: object) -> None:
        with pytest.raises(MetannError, match=text) as error:
            collect_mixture(**{"evaluations": folders, "run": tmp_path, "output": tmp_path / "mixture.md"} | arguments)
        assert "\n" not in str(error.value)

    fails("no evaluation given", evaluations=[])
    fails("2 evaluations of val images", evaluations=[*folders, folders[0]])
    fails("network 'wide' has no role", controls=[wide])
    fails("control 'wide' is there for seeds", controls=[wide], roles=["wide:same_parameters"])
    fails("unknown role", controls=[wide], roles=["wide:big"])
    fails("no table", evaluations=[tmp_path / "nowhere"])
    other = write_run(tmp_path / "other", make_gate(n=600, seed=1))
    evaluate_mixture(gate=other / "gate.parquet", output=other)
    fails("does not hold the images", evaluations=[folders[0], other])


@pytest.mark.parametrize("name", ["three seeds", "one setting, no controls", "many"])
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_draws(figure: str, name: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    draws(figure, run(name), tmp_path, largest=4000)


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_the_same_bytes_again(figure: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    repeats(figure, run("one seed"), tmp_path)
