import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from synthetic import THRESHOLDS, evaluate, expert_path, make_tables, relabel_test, write_expert, write_switch

from metann.config.mnn import MnnEvaluation
from metann.errors import MetannError
from metann.mnn.prefix import Prefix, curve
from metann.stages.evaluate_mnn import evaluate_mnn
from metann.tables.frames import read_arrow, read_frame
from metann.tables.probabilities import read_expert_probabilities, read_probabilities, write_expert_probabilities


def naive_predictions(switch_NK: np.ndarray, expert_NK: np.ndarray, threshold: float) -> tuple[list[int], list[int]]:
    """The report's loop: multiply the switch's probabilities by the vector of every active class."""
    predictions, lengths = [], []
    for switch_K, expert_K in zip(switch_NK.tolist(), expert_NK.tolist(), strict=True):
        classes = len(switch_K)
        active = [c for c in range(classes) if switch_K[c] >= threshold]
        product_K = np.array(switch_K)
        for c in active:
            product_K *= [expert_K[c] if k == c else (1 - expert_K[c]) / (classes - 1) for k in range(classes)]
        predictions.append(int(product_K.argmax()))
        lengths.append(len(active))
    return predictions, lengths


def read_back(folder: Path, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Switch, experts, labels and splits of the evaluated images, joined here by position, as the tables were written."""
    switch = read_probabilities(folder / "networks" / "switch" / "seed_0" / "probabilities.parquet")
    rows = np.flatnonzero(switch.split != "train")
    paths = [expert_path(folder, 0, threshold, c) / "expert_probabilities.parquet" for c in range(switch.p_NK.shape[1])]
    expert_NK = np.stack([read_expert_probabilities(path).expert_probability for path in paths], axis=1)
    return switch.p_NK[rows].astype(float), expert_NK.astype(float), switch.label[rows], switch.split[rows]


def test_cells_agree_with_the_naive_product(tmp_path: Path) -> None:
    make_tables(tmp_path, skill=0.5, val=60, test=90)
    output = evaluate(tmp_path, 0, 0.1)
    switch_NK, expert_NK, labels_N, splits_N = read_back(tmp_path, 0.1)
    before_N = switch_NK.argmax(axis=1) == labels_N
    for threshold in THRESHOLDS:
        predictions, lengths = naive_predictions(switch_NK, expert_NK, threshold)
        after_N, lengths_N = np.array(predictions) == labels_N, np.array(lengths)
        cell = read_frame(output / "cells" / f"threshold_{threshold:.2f}.parquet", "cell").set_index("split")
        for split in ("val", "test"):
            mask, row = splits_N == split, cell.loc[split]
            fixed, broken = int((after_N & ~before_N)[mask].sum()), int((before_N & ~after_N)[mask].sum())
            assert (row["n"], row["correct"], row["baseline_correct"]) == (mask.sum(), after_N[mask].sum(), before_N[mask].sum())
            assert (row["fixed"], row["broken"]) == (fixed, broken)
            assert row["accuracy"] == pytest.approx(after_N[mask].mean())
            assert row["mcnemar_p"] == pytest.approx(binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0)
            assert row["mean_experts"] == pytest.approx(lengths_N[mask].mean())
            assert row["mean_macs"] == pytest.approx(1e6 + 4e5 * lengths_N[mask].mean())
            assert (row["switch_function"], row["parameter"], row["test_threshold"]) == ("threshold", f"{threshold:.2f}", threshold)
            assert (row["seed"], row["dataset_threshold"]) == (0, 0.1)


def test_prefix_and_curve_tables(tmp_path: Path) -> None:
    make_tables(tmp_path, skill=0.5, val=60, test=90)
    output = evaluate(tmp_path, 0, 0.1)
    switch_NK, expert_NK, labels_N, splits_N = read_back(tmp_path, 0.1)
    arrow, metadata = read_arrow(output / "prefix.parquet", "prefix")
    columns = {name: arrow.column(name).to_numpy() for name in arrow.column_names}
    assert set(columns["split"]) == {"val", "test"}
    np.testing.assert_array_equal(columns["label"], labels_N)
    np.testing.assert_array_equal(columns["switch_prediction"], switch_NK.argmax(axis=1))
    np.testing.assert_array_equal(columns["correct_0"], switch_NK.argmax(axis=1) == labels_N)
    np.testing.assert_array_equal(columns["correct_4"], np.array(naive_predictions(switch_NK, expert_NK, 0.0)[0]) == labels_N)
    assert columns["correct_4"].dtype == bool
    assert (metadata["seed"], metadata["dataset_threshold"], metadata["switch_macs"], metadata["expert_macs"]) == (0, 0.1, 10**6, 4e5)
    assert metadata["digest"] == "d1"
    assert metadata["switch_functions"][0] == "threshold(0.00)"
    exact = pd.DataFrame(curve(Prefix.of(columns, metadata)))
    for threshold in (0.0, 0.013, 0.25, 0.5, 1.0):
        for split in ("val", "test"):
            row = exact[(exact["split"] == split) & np.isclose(exact["threshold"], threshold, rtol=0, atol=1e-9)].iloc[0]
            predictions, lengths = naive_predictions(switch_NK, expert_NK, threshold)
            mask = splits_N == split
            assert row["accuracy"] == pytest.approx((np.array(predictions) == labels_N)[mask].mean())
            assert row["mean_experts"] == pytest.approx(np.array(lengths)[mask].mean())


def test_order_of_files_and_rows_does_not_matter(tmp_path: Path, rng: np.random.Generator) -> None:
    make_tables(tmp_path, skill=0.5, val=60, test=90)
    output = evaluate(tmp_path, 0, 0.1)
    expected = {path.name: path.read_bytes() for path in output.rglob("*.parquet")}
    path = expert_path(tmp_path, 0, 0.1, 2) / "expert_probabilities.parquet"
    table = read_expert_probabilities(path)
    order = rng.permutation(len(table))
    columns = {name: value[order] for name, value in vars(table).items() if isinstance(value, np.ndarray)}
    write_expert_probabilities(path, replace(table, **columns))
    experts = [expert_path(tmp_path, 0, 0.1, c) / "expert_probabilities.parquet" for c in (3, 0, 2, 1)]
    switch = tmp_path / "networks" / "switch" / "seed_0" / "probabilities.parquet"
    functions = ["top_k(2)", "top_p(0.9)", "only_if_unsure(0.6, 2)", "none", "all"]
    again = tmp_path / "again"
    evaluate_mnn(
        switch=switch,
        experts=experts,
        dataset_threshold=0.1,
        output=again,
        options=MnnEvaluation(test_thresholds=list(THRESHOLDS), switch_functions=functions),
    )
    assert {path.name: path.read_bytes() for path in again.rglob("*.parquet")} == expected


def test_a_new_threshold_leaves_the_other_cells_alone(tmp_path: Path) -> None:
    make_tables(tmp_path, val=60, test=90)
    output = evaluate(tmp_path, 0, 0.1, test_thresholds=[0.2, 0.3])
    for path in output.rglob("*.parquet"):
        os.utime(path, (1, 1))
    evaluate(tmp_path, 0, 0.1, test_thresholds=[0.2, 0.25, 0.3])
    times = {path.stem: path.stat().st_mtime for path in (output / "cells").iterdir()}
    assert {stem for stem, time in times.items() if time != 1} == {"threshold_0.25"}


def test_thresholds_are_compared_in_float64(tmp_path: Path) -> None:
    """0.7 as float32 is 0.699999988: below the threshold 0.7, whatever NumPy makes of mixed types."""
    p_NK = np.array([[0.7, 0.3], [0.3, 0.7]], np.float32)
    labels_N, split_N = np.array([0, 1]), np.array(["val", "test"])
    write_switch(tmp_path / "switch.parquet", p_NK, labels_N, split_N)
    keys = {"dataset": "synthetic", "digest": "d1", "class_names": ["class 0", "class 1"], "dataset_threshold": 0.1}
    for c in range(2):
        write_expert(tmp_path / f"{c}.parquet", np.full(2, 0.5), labels_N, split_N, **keys, **{"class": c})
    evaluate_mnn(
        switch=tmp_path / "switch.parquet",
        experts=[tmp_path / "0.parquet", tmp_path / "1.parquet"],
        dataset_threshold=0.1,
        output=tmp_path,
        options=MnnEvaluation(test_thresholds=[0.3, 0.7], switch_functions=[]),
    )
    assert read_frame(tmp_path / "cells" / "threshold_0.70.parquet", "cell")["mean_experts"].tolist() == [0, 0]
    assert read_frame(tmp_path / "cells" / "threshold_0.30.parquet", "cell")["mean_experts"].tolist() == [2, 2]
    assert read_frame(tmp_path / "cells" / "threshold_0.30.parquet", "cell")["mean_macs"].isna().all()  # experts' MACs are unknown


@pytest.mark.parametrize("options", [{"temperature": "validation"}, {"combine": "product_calibrated"}, {"combine": "replace"}])
def test_what_is_fitted_is_fitted_on_validation_only(tmp_path: Path, options: dict[str, str]) -> None:
    make_tables(tmp_path / "a", skill=0.5)
    output = evaluate(tmp_path / "a", 0, 0.1, **options)
    plain = evaluate(tmp_path / "a", 0, 0.2)
    arrow, metadata = read_arrow(output / "prefix.parquet", "prefix")
    assert arrow.num_rows == 1300
    temperatures = metadata["temperatures"]
    if "temperature" in options:
        assert temperatures["switch"] != 1
        assert len(temperatures["experts"]) == 4
        unchanged = read_arrow(plain / "prefix.parquet", "prefix")[0]
        assert arrow.column("correct_0").equals(unchanged.column("correct_0"))  # a temperature moves no argmax
    relabel_test(tmp_path / "a", classes=4)
    again = evaluate(tmp_path / "a", 0, 0.1, **options)
    assert read_arrow(again / "prefix.parquet", "prefix")[1]["temperatures"] == temperatures
    before, after = (
        table.filter(np.array(table.column("split")) == "val") for table in (arrow, read_arrow(again / "prefix.parquet", "prefix")[0])
    )
    assert before.equals(after)


def _drop_expert(folder: Path) -> None:
    (expert_path(folder, 0, 0.1, 2) / "expert_probabilities.parquet").unlink()


def _rewrite_expert(folder: Path, **metadata: object) -> None:
    path = expert_path(folder, 0, 0.1, 2) / "expert_probabilities.parquet"
    table = read_expert_probabilities(path)
    write_expert_probabilities(path, replace(table, metadata=table.metadata | metadata))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (_drop_expert, {}, r"no expert table for class 2 \(1 of 4 missing\)"),
        (lambda folder: _rewrite_expert(folder, **{"class": 1}), {}, r"class 1 is given twice: .*class_1.* and .*class_2"),
        (lambda folder: _rewrite_expert(folder, **{"class": 9}), {}, r"class_2.* is for class 9; the switch knows 0 \.\. 3"),
        (lambda folder: _rewrite_expert(folder, digest="d2"), {}, r"class_2.* is of another dataset \(d2\)"),
        (lambda folder: _rewrite_expert(folder, dataset_threshold=0.3), {}, "was trained at dataset threshold 0.3, not 0.1"),
        (lambda folder: _rewrite_expert(folder, seed=5), {}, "is of seed 5, .* of seed 0"),
        (lambda folder: _rewrite_expert(folder, switch="twin"), {}, "class_2.* is of switch 'twin', .* of 'switch'"),
        (None, {"combine": "sum"}, "combine = 'sum': input should be 'product', 'product_calibrated' or 'replace'"),
        (None, {"temperature": "test"}, "temperature = 'test': input should be 'none' or 'validation'"),
        (None, {"test_thresholds": [1.5]}, r"threshold 1\.5 is not a number in \[0, 1\]"),
        (None, {"switch_functions": ["top_q(1)"]}, r"unknown switch function 'top_q\(1\)'"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, change, options: dict[str, object], message: str) -> None:
    make_tables(tmp_path, val=20, test=20, dataset_thresholds=(0.1,))
    if change is not None:
        change(tmp_path)
    with pytest.raises(MetannError, match=message) as error:
        evaluate(tmp_path, 0, 0.1, **options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("evaluation"))


def test_images_to_evaluate_and_to_fit_on_are_needed(tmp_path: Path) -> None:
    make_tables(tmp_path / "train", val=0, test=0, dataset_thresholds=(0.1,))
    with pytest.raises(MetannError, match="no validation or test images"):
        evaluate(tmp_path / "train", 0, 0.1)
    make_tables(tmp_path / "test", val=0, test=30, dataset_thresholds=(0.1,))
    assert read_frame(evaluate(tmp_path / "test", 0, 0.1) / "cells" / "none.parquet", "cell")["split"].tolist() == ["test"]
    with pytest.raises(MetannError, match="no validation images"):
        evaluate(tmp_path / "test", 0, 0.1, temperature="validation")


def test_published_tables_ask_for_as_many_experts_as_counted(tmp_path: Path, shared: Path) -> None:
    folder = shared / "data" / "probabilities"
    p_NK, labels_N = np.load(folder / "mobilenet_v2_test.npy"), np.load(folder / "labels_test.npy")
    split_N = np.full(len(labels_N), "test")
    write_switch(tmp_path / "switch.parquet", p_NK, labels_N, split_N)
    names = [f"class {c}" for c in range(10)]
    for c in range(10):
        write_expert(
            tmp_path / f"{c}.parquet", np.full(10_000, 0.1), labels_N, split_N, **{"class": c, "digest": "d1", "class_names": names}
        )
    experts = [tmp_path / f"{c}.parquet" for c in range(10)]
    counted = {0.1: 1.1618, 0.17: 1.0757, 0.2: 1.0557, 0.3: 1.0116}
    evaluate_mnn(
        switch=tmp_path / "switch.parquet",
        experts=experts,
        dataset_threshold=0.17,
        output=tmp_path,
        options=MnnEvaluation(test_thresholds=list(counted), switch_functions=[]),
    )
    for threshold, mean_experts in counted.items():
        cell = read_frame(tmp_path / "cells" / f"threshold_{threshold:.2f}.parquet", "cell")
        assert cell["mean_experts"].item() == pytest.approx(mean_experts)
        assert cell["baseline_correct"].item() == 8936
        assert cell["correct"].item() == 8936  # experts at 1/K change nothing


def test_evaluation_imports_neither_pandas_nor_torch() -> None:
    code = "import metann.stages.evaluate_mnn, metann.mnn.prefix, metann.mnn.inputs, metann.tables.join, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "torch", "matplotlib"} & set(loaded)
