"""The table in which families meet, and the page over them."""

import numpy as np
import pandas as pd
import pytest

from metann.report.frontier import frontiers
from metann.report.overview import COLUMNS, meet, network_rows, summarise, verdicts_of
from metann.statistics.intervals import wilson_interval
from metann.tables.samples import Probabilities


def table(right: int, n: int = 20, seed: int | None = 3, macs: float | None = 5e6) -> Probabilities:
    """A network that is right on the first images of each split."""
    labels_N = np.tile(np.arange(n) % 2, 2)
    hit_N = np.tile(np.arange(n) < right, 2)
    p_NK = np.eye(2, dtype=np.float32)[np.where(hit_N, labels_N, 1 - labels_N)]
    split_N = np.repeat(np.array(["val", "test"]), n)
    facts = {"macs": macs} | ({} if seed is None else {"seed": seed})
    return Probabilities(np.arange(2 * n), split_N, labels_N, facts, p_NK=p_NK, log_partition=np.zeros(2 * n, np.float32))


def settings(family: str, accuracies: dict[int, float], macs: float = 1e6) -> pd.DataFrame:
    rows = [
        {"family": family, "setting": "threshold(0.10)", "role": "setting", "seed": seed, "split": split, "n": 100}
        | {
            "correct": round(100 * value),
            "accuracy": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "macs": macs,
            "chosen": True,
            "load": "{}",
        }
        for seed, value in accuracies.items()
        for split in ("val", "test")
    ]
    return pd.DataFrame(rows)


def test_a_network_is_counted_on_both_splits() -> None:
    rows = network_rows("wide", table(15), 0.95)
    assert [row["split"] for row in rows] == ["val", "test"]
    for row in rows:
        assert (row["n"], row["correct"], row["accuracy"], row["seed"], row["macs"]) == (20, 15, 0.75, 3, 5e6)
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(15, 20))
        assert list(row) == list(COLUMNS)
    assert np.isnan(network_rows("wide", table(15, macs=None), 0.95)[0]["macs"])


def test_families_and_networks_meet_in_one_table() -> None:
    found = meet([settings("mnn", {0: 0.8, 1: 0.9}), settings("cascade", {0: 0.7})], network_rows("wide", table(5, seed=None), 0.95))
    assert list(found.columns) == list(COLUMNS)
    assert list(found["family"].unique()) == ["mnn", "cascade", "network"]
    assert found.query("family == 'network'")["seed"].tolist() == [-1, -1]  # a table from elsewhere knows no seed
    assert found["chosen"].dtype == bool
    assert len(meet([], network_rows("wide", table(5), 0.95))) == 2
    assert len(meet([settings("mnn", {0: 0.8})], [])) == 2


def test_the_page_has_every_verdict_and_every_network() -> None:
    results = meet([settings("mnn", {0: 0.8, 1: 0.9}), settings("cascade", {0: 0.7})], network_rows("wide", table(15), 0.95))
    text = summarise(
        "demo",
        results,
        frontiers(results, 0.95),
        {"mnn": "# mnn\n\n**No evidence of a gain.** Words.\n", "cascade": "**Use a > b.**\n"},
        0.95,
    )
    assert "## [mnn](mnn.md)\n\n**No evidence of a gain.** Words." in text
    assert "**Use a > b.**" in text
    line = next(line for line in text.splitlines() if line.startswith("| mnn"))
    assert "85.00 %" in line
    assert "2 seeds" in line
    assert "1 M" in line
    assert "`wide` | 75.00 %" in text


def test_a_page_without_a_verdict_has_none() -> None:
    assert verdicts_of("# nothing\n\nwords\n") == []
    assert verdicts_of("**Yes.** It is.\n\nWords.\n\n**Paying: no.** So.\n\n## Later\n\n**Bold.**\n") == [
        "**Yes.** It is.",
        "**Paying: no.** So.",
    ]
