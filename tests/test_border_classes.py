"""The order of classes, classes that a split lacks, and answers that are no better than chance."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from test_border_photos import fill, made, said, settings

from metann.config.data import DataSection
from metann.config.section import flags, read_section
from metann.data.raw import load_dataset
from metann.errors import MetannError
from metann.tables.notices import accuracy_notices, class_notices
from metann.tables.samples import Probabilities

pytestmark = pytest.mark.bad_input


def test_case_numbers_as_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made("08-numeric-class-names", tmp_path, monkeypatch)
    log, info = said(tmp_path / "text", capsys, settings(tmp_path / "photos"))
    assert info["class_names"][:3] == ["1", "10", "11"]
    assert "assumed: classes are sorted as text (1, 10, 11, 12, ...), not as numbers; data.classes gives another order" in log
    data = read_section(DataSection, {"name": "image_folder", "root": str(tmp_path / "photos"), "classes": list(range(1, 13))})
    log, info = said(tmp_path / "numbers", capsys, data)
    assert info["class_names"] == [str(number) for number in range(1, 13)]
    assert "assumed" not in log
    by_text, by_number = load_dataset(settings(tmp_path / "photos")), load_dataset(data)
    for raw in (by_text, by_number):
        assert [raw.class_names[label] for label in raw.labels_N] == [name.split("/")[1] for name in raw.files]


def test_the_order_of_any_data_set() -> None:
    names = tuple(reversed([str(digit) for digit in range(10)]))
    plain, turned = load_dataset(DataSection(name="digits")), load_dataset(DataSection(name="digits", classes=names))
    np.testing.assert_array_equal(turned.labels_N, 9 - plain.labels_N)
    assert turned.labels_N.dtype == np.int16
    assert turned.class_names == names


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([True, False], "YAML reads as True; put it in quotes"),
        ([None, "b"], "YAML reads as None"),
        (["ant", "ant", "bee"], "'ant' stands twice"),
        (["", "bee"], "classes"),
        ("ant", "classes: 'ant' is one text; give the class names as a list in label order, such as \\[ant, bee\\]"),
        (yaml.safe_load("!!set {ant, bee}"), "classes: .* is a set, which has no order; give the class names as a list"),
        (frozenset({"ant"}), "is a set, which has no order"),
        ({"ant": 0, "bee": 1}, "classes: {'ant': 0, 'bee': 1} is a mapping; give the class names as a list"),
        (None, "classes: None is one value; give the class names as a list"),
        (10, "classes: 10 is one value"),
        ([["ant"], "bee"], "classes"),
    ],
)
def test_orders_that_are_none(values: object, complaint: str) -> None:
    with pytest.raises(MetannError, match=complaint):
        read_section(DataSection, {"classes": values})


@pytest.mark.parametrize(
    ("classes", "complaint"),
    [
        (("ant", "be"), "'be', which has no folder; known class folders: ant, bee"),
        (("ant",), "no 'bee', which has a folder"),
    ],
)
def test_orders_that_do_not_fit_the_folders(tmp_path: Path, classes: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(MetannError, match=complaint):
        load_dataset(settings(fill(tmp_path), classes=classes))


def test_orders_that_do_not_fit_a_data_set() -> None:
    with pytest.raises(MetannError, match="unknown class 'ten'"):
        load_dataset(DataSection(name="digits", classes=("ten",)))
    with pytest.raises(MetannError, match="2 names for 10 classes"):
        load_dataset(DataSection(name="digits", classes=("1", "2")))


def test_flags_give_the_order_back() -> None:
    words = flags("data", DataSection(classes=("b c", "-a", "$x; touch y")))
    assert [word for word in words if "classes" in word] == ["--data.classes=b c", "--data.classes=-a", "--data.classes=$x; touch y"]


def test_classes_that_splits_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "photos"
    fill(root / "train", ("ant", "bee", "cat"))
    fill(root / "val", ("ant", "bee"), n=2)
    fill(root / "test", ("bee",), n=2)
    log, info = said(tmp_path / "out", capsys, settings(root))
    assert info["notices"] == [
        "val has no image of 1 of 3 classes (cat); what is measured there is blind to them",
        "test has no image of 2 of 3 classes (ant, cat); what is measured there is blind to them",
    ]
    assert log.count("WARNING: ") == 2


def test_classes_of_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "photos", n=6)
    fill(tmp_path / "photos", ("lone", "only"), n=1)
    _, info = said(tmp_path / "out", capsys, settings(tmp_path / "photos"))
    assert "2 of 4 classes have a single image (lone, only); nothing can be learnt and measured on one" in info["notices"]
    assert class_notices(np.repeat(["train", "test"], 4), np.tile([0, 0, 1, 1], 2), ["a", "b"]) == []


def table(answers_N: np.ndarray, labels_N: np.ndarray, classes: int = 4) -> Probabilities:
    p_NK = np.full((len(labels_N), classes), 0.1 / (classes - 1), np.float32)
    p_NK[np.arange(len(labels_N)), answers_N] = 0.9
    ids = np.arange(len(labels_N), dtype=np.int32)
    return Probabilities(ids, np.full(len(labels_N), "test"), labels_N, {}, p_NK=p_NK, log_partition=np.zeros(len(ids), np.float32))


def test_chance_is_said(rng: np.random.Generator) -> None:
    labels = np.arange(400) % 4
    turned = (labels + 1) % 4
    assert (
        "accuracy 0.0000 on 400 images is chance (0.2500 for 4 classes); likely causes: another order"
        in accuracy_notices(table(turned, labels))[0]
    )
    assert "is chance" in accuracy_notices(table(rng.integers(0, 4, 400), labels))[0]
    half = np.where(np.arange(400) < 200, labels, turned)
    assert accuracy_notices(table(half, labels)) == []
    always = accuracy_notices(table(np.full(400, 2), labels))
    assert always[1] == "test: the network says c2 of all 400 images"
    assert accuracy_notices(table(np.array([0, 1]), np.array([0, 1]))) == []
