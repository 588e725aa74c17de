"""Stage collect_cascade and the figures of cascades, on runs that a user may have."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cascade_tables import NETWORKS, write_tables
from drawings import draws, repeats
from scipy import stats

from metann import registry
from metann.config.cascade import CascadeChoice, CascadeSearch
from metann.config.section import read_section
from metann.errors import MetannError
from metann.figures._captions import tables_of
from metann.files.text import write_json
from metann.stages.choose_cascade import choose_cascade
from metann.stages.collect_cascade import collect_cascade
from metann.stages.replay_memory import replay_memory
from metann.stages.search_cascade import search_cascade
from metann.tables.frames import read_frame

FIGURES = [name for name in registry.figures() if name.startswith("cascade_")]
MANY = {f"a network with a long name, number {i}": (2 + i / 4, 1e6 * 3**i) for i in range(9)}
RUNS = {
    "one seed": {},
    "three seeds": {"seeds": (0, 1, 2)},
    "no MACs": {"macs": False},
    "two networks": {"networks": dict(list(NETWORKS.items())[:2])},
    "many networks, one score": {"networks": MANY, "scores": ["entropy"], "postcheck": "with"},
    "every chain": {
        "seeds": (0, 1),
        "temperature": "validation",
        "chains": "all",
        "answers": ("more_confident", "product"),
        "scores": ["difference"],
    },
    "least cost": {"objective": "target_accuracy", "target": 0.8},
}
REPORT = {
    "seed": 0,
    "images": 100,
    "accuracy": 0.9,
    "second_network_use": 0.25,
    "memory_hits": 33,
    "macs_per_image": 2e7,
    "latency_ms": {"mean": 1.0, "p50": 0.9, "p95": 2.0, "p99": 3.0},
    "joules_per_image": None,
    "energy": {"reason": "no meter", "source": None},
    "disagreements": 0,
    "compared": 67,
    "device": "cpu",
    "batch_size": 1,
    "stream": "test; 33 duplicates, 0 of them turned",
}


def make(folder: Path, seeds=(0,), macs=True, networks=NETWORKS, scores=None, postcheck="both", objective="accuracy", **changes) -> Path:
    """A run's folder, up to its tables."""
    searches, memories = [], []
    chains = [{"networks": list(networks)[:3]}] if len(networks) > 2 else []
    wanted = {"grid": 60, "chains": chains, "postcheck": postcheck}
    wanted |= ({"scores": scores} if scores else {}) | changes
    options = read_section(CascadeSearch, wanted)
    for seed in seeds:
        tables = write_tables(folder / "networks", seed, n=400, macs=macs, networks=networks)
        searches.append(folder / f"cascade/seed_{seed}")
        search_cascade(probabilities=tables, output=searches[-1], seed=seed, options=options)
    choose_cascade(searches=searches, output=folder, options=CascadeChoice(objective=objective))
    for seed, search in zip(seeds, searches, strict=True):
        memories.append(search / "memory.parquet")
        tables = [folder / "networks" / name / f"seed_{seed}/probabilities.parquet" for name in networks]
        replay_memory(cascade=search / "cascade.json", probabilities=tables, output=memories[-1], seed=seed)
    write_json(folder / "report.json", REPORT)
    collect_cascade(run=folder, memory=memories, output=folder / "cascade.md", reports=[folder / "report.json"], figures=FIGURES)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = make(tmp_path_factory.mktemp("run"), **RUNS[name])
        return made[name]

    return get


@pytest.mark.parametrize("name", RUNS)
def test_summary_answers_the_questions(name: str, run: Callable[[str], Path]) -> None:
    folder = run(name)
    text = (folder / "cascade.md").read_text()
    choice = read_frame(folder / "tables/cascade_choice.parquet", "cascade_choice")
    row = choice.iloc[0]
    first_lines = text.split("## ")[0]
    if name == "every chain":
        chosen = read_frame(folder / "tables/cascade_frontier.parquet", "cascade_frontier").query("chosen")
        assert f"**Use {chosen['chain'].iloc[0]}, score difference" in first_lines
        assert f"on {100 * chosen['judged_accuracy'].mean():.2f} % of the validation images, the best of so many" in first_lines
        assert f"on the test images, looked at once, on {100 * chosen['accuracy'].mean():.2f} %" in first_lines
        assert "Against the whole ensemble, the mean of all 3 networks" in first_lines
        first_lines = text.split("## ")[1]
    use = "The best pair is" if name == "every chain" else "Use"
    assert f"**{use} {row['first']} > {row['second']}, score {row['score']}" in first_lines
    assert f"{100 * choice['accuracy'].mean():.2f} %" in first_lines
    assert f"threshold {row['threshold']:.6g}" in first_lines
    assert ("gain: +" in first_lines) or ("gain: -" in first_lines) or ("loss: -" in first_lines)
    if len(choice) == 1:
        assert f"{row['fixed']} fixed and {row['broken']} broken" in first_lines
    else:
        assert "t interval" in first_lines
    assert ("unknown" in first_lines) == (name == "no MACs")
    for section in (
        "Which pair for what",
        "The networks alone",
        "Pairs at their best accuracy",
        "Memory",
        "The chosen cascade, run",
        "on the same images",
    ):
        assert f"{section}" in text
    assert ("More than two networks" in text) == (name not in ("two networks", "every chain"))
    assert "Joules are unknown: no meter" in text
    assert ("temperatures, fitted on validation, of the first seed: small " in text) == (name == "every chain")
    assert "nan" not in text.replace("unknown", "")
    for figure in FIGURES:
        assert f"figures/{figure}.png" in text
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_draws(figure: str, name: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    draws(figure, run(name), tmp_path, largest=4000)


@pytest.mark.parametrize("figure", FIGURES)
def test_same_tables_give_the_same_bytes(figure: str, run: Callable[[str], Path], tmp_path: Path) -> None:
    repeats(figure, run("one seed"), tmp_path)


def test_intervals_of_several_seeds_go_over_seeds(run: Callable[[str], Path]) -> None:
    folder = run("three seeds")
    page = (folder / "cascade.md").read_text()
    tables = {name: read_frame(folder / f"tables/{name}.parquet", name) for name in tables_of("cascade_cost")}
    axes = import_module("metann.figures.cascade_cost").draw(tables).axes[0]
    bars = next(drawn for drawn in axes.containers if drawn.get_label() == "single network")
    drawn = sorted(tuple(segment[:, 1]) for segment in bars.lines[2][0].get_segments())
    expected = []
    for name, mine in tables["cascade_networks"].groupby("network"):
        mean, half = mine["accuracy"].mean(), stats.t.ppf(0.975, 2) * stats.sem(mine["accuracy"])
        assert len(mine) == 3
        interval = f"{100 * (mean - half):.2f} to {100 * (mean + half):.2f}"
        assert f"| {name} | {100 * mine['val_accuracy'].mean():.2f} % | {100 * mean:.2f} % | {interval} |" in page
        expected.append((100 * max(mean - half, 0), 100 * min(mean + half, 1)))
    assert np.array(drawn) == pytest.approx(np.array(sorted(expected)))


def test_the_memory_of_all_seeds_is_collected(run: Callable[[str], Path]) -> None:
    memory = read_frame(run("three seeds") / "tables/cascade_memory.parquet", "cascade_memory")
    assert sorted(memory["seed"].unique()) == [0, 1, 2]


def test_missing_tables_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="no table"):
        collect_cascade(run=tmp_path, memory=[], output=tmp_path / "cascade.md")
