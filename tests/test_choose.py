"""The model for a budget: validation chooses, test is told, and the command that is printed packs it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metann import layout
from metann.errors import MetannError
from metann.report.budget import Budget, candidates, cheaper_equal, pack_command
from metann.report.budget import choose as choose_model
from metann.report.inputs import read_candidates
from metann.stages.choose import choose
from metann.statistics.intervals import wilson_interval
from metann.tables.frames import write_frame


def rows(
    family: str, setting: str, macs: float, val: float, test: float, seed: int = 0, role: str = "setting", n: int = 1000
) -> list[dict]:
    found = []
    for split, share in (("val", val), ("test", test)):
        low, high = wilson_interval(round(share * n), n)
        row = {"family": family, "setting": setting, "role": role, "seed": seed, "split": split, "n": n, "correct": round(share * n)}
        row |= {"accuracy": share, "low": float(low), "high": float(high), "macs": macs, "chosen": False}
        found.append(row | {"load": json.dumps({"setting": setting}) if role != "bound" else ""})
    return found


RESULTS = pd.DataFrame(
    [
        *rows("network", "small", 1e6, 0.80, 0.81, role="network"),
        *rows("network", "wide", 4e6, 0.90, 0.88, role="network"),
        *rows("cascade", "small > wide, it's one", 2e6, 0.895, 0.87, seed=0),
        *rows("cascade", "small > wide, it's one", 2.2e6, 0.885, 0.89, seed=1),
        *rows("mixture", "lucky on test", 1.5e6, 0.84, 0.99),
        *rows("cascade", "oracle", 1e6, 0.99, 0.99, role="bound"),
    ]
)
MS = pd.DataFrame(
    {
        "family": ["network", "network", "cascade"],
        "setting": ["small", "wide", "small > wide, it's one"],
        "seed": 0,
        "batch_size": 1,
        "ms": [0.3, 0.5, 0.8],
    }
)


@pytest.mark.parametrize(
    ("budget", "setting", "seed"),
    [
        (Budget("macs", 3e6), "small > wide, it's one", 0),
        (Budget("macs", 4e6), "wide", 0),
        (Budget("macs", 1.9e6), "lucky on test", 0),
        (Budget("accuracy", 0.88), "small > wide, it's one", 0),
        (Budget("accuracy", 0.896), "wide", 0),
        (Budget("ms", 0.4), "small", 0),
        (Budget("ms", 0.9), "wide", 0),
    ],
)
def test_validation_chooses(budget: Budget, setting: str, seed: int) -> None:
    pick = choose_model(candidates(RESULTS, MS), budget)
    assert (pick["setting"], pick["seed"]) == (setting, seed)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 10)), min_size=1, max_size=10), st.integers(1, 6))
def test_against_a_naive_search(points: list[tuple[int, int]], budget: int) -> None:
    results = pd.DataFrame([row for i, (cost, right) in enumerate(points) for row in rows("mnn", str(i), cost, right / 10, 0.5, n=10)])
    able = [(-right, cost) for cost, right in points if cost <= budget]
    models = candidates(results)
    if not able:
        with pytest.raises(MetannError, match="the cheapest takes"):
            choose_model(models, Budget("macs", budget))
    else:
        pick = choose_model(models, Budget("macs", budget))
        assert (-round(10 * pick["val_accuracy"]), pick["macs"]) == min(able)
    target = min(right for _, right in points) / 10
    if target:
        pick = choose_model(models, Budget("accuracy", target))
        assert pick["macs"] == min(cost for cost, right in points if right / 10 >= target)


def test_the_cheapest_that_validation_cannot_tell_from_it() -> None:
    models = candidates(RESULTS)
    pick = choose_model(models, Budget("macs", 1e9))
    error = np.sqrt(0.9 * 0.1 / 1000)
    assert 0.895 > 0.9 - error > 0.885
    assert cheaper_equal(models, pick, Budget("macs", 1e9))["setting"] == "small > wide, it's one"
    assert cheaper_equal(models, models[models["setting"] == "small"].iloc[0], Budget("macs", 1e6)) is None


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("macs=3e6", Budget("macs", 3e6)),
        ("3e6", Budget("macs", 3e6)),
        ("ms=0.5", Budget("ms", 0.5)),
        ("accuracy=0.9", Budget("accuracy", 0.9)),
    ],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


def test_bad_budgets_are_one_line() -> None:
    for call, says in (
        (lambda: Budget.parse("watts=3"), "budget 'watts=3' is none; write macs=3e6"),
        (lambda: Budget.parse("ms=fast"), "is none; write"),
        (lambda: Budget.parse("accuracy=90"), "between 0 and 1"),
        (lambda: Budget.parse("macs=-1"), "above 0"),
        (lambda: Budget.parse("macs=nan"), "above 0"),
        (lambda: Budget.given(None, None, None), "nothing given; give one of"),
        (lambda: Budget.given(1.0, 2.0, None), "--macs and --ms given"),
        (lambda: choose_model(candidates(RESULTS), Budget("ms", 1)), "are not measured"),
        (lambda: choose_model(candidates(RESULTS), Budget("macs", 10)), "the cheapest takes 1 M"),
        (lambda: choose_model(candidates(RESULTS), Budget("accuracy", 0.95)), r"the best has 90\.00 %"),
        (lambda: choose_model(candidates(RESULTS[RESULTS["role"] == "bound"]), Budget("macs", 1e9)), "no model"),
        (lambda: read_candidates(Path("nowhere")), "not the folder of a finished run"),
    ):
        with pytest.raises(MetannError, match=says) as error:
            call()
        assert "\n" not in str(error.value)


def test_the_verb_prints_the_choice_and_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frame(tmp_path / layout.RESULTS, RESULTS, "results", {"confidence": 0.95, "run": "x"})
    write_frame(layout.place(tmp_path, layout.TABLE, table=layout.RUN_LATENCY), MS, layout.RUN_LATENCY, {})
    choose(tmp_path, macs=3e6)
    said = capsys.readouterr().out
    assert "at most 3 M multiply-accumulates" in said
    assert "cascade: small > wide, it's one, seed 0" in said
    assert "test:       87.00 % of 1,000 images (95 % interval" in said
    assert "0.8 ms" in said
    assert "mean of 2 seeds: 88.00 %" in said
    command = shlex.split(next(line for line in said.splitlines() if "metann pack" in line))
    assert command == shlex.split(pack_command(tmp_path, choose_model(candidates(RESULTS), Budget("macs", 3e6))))
    assert command[3:] == ["--family", "cascade", "--setting", "small > wide, it's one", "--seed", "0", "--output", "model.safetensors"]
    with pytest.raises(MetannError, match="unknown batch size '7'; known: 1"):
        choose(tmp_path, ms=1.0, batch_size=7)
