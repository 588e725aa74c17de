"""The door: every family is loaded, asked, packed and asked again in the same words, and says what the run's tables say."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from conftest import metann
from hostile import header_of, rewrite
from PIL import Image

import metann as package
from metann import layout
from metann.cascade.model import Cascade
from metann.cascade.rule import decide
from metann.config.network import NetworkSection
from metann.cost.macs import count_macs
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.files.text import write_json
from metann.mnn.combination import combine
from metann.mnn.evaluation import prefix_lengths, prefix_mask
from metann.model import FAMILIES, KINDS, load
from metann.stages.collect_mnn import collect_mnn
from metann.stages.evaluate_mnn import evaluate_mnn
from metann.stages.pack import pack
from metann.tables.frames import read_arrow
from metann.tables.probabilities import read_expert_probabilities, read_probabilities
from metann.weights.files import read_header, save_weights
from metann.weights.single import SingleNetwork

CHOSEN = {"networks": ["small", "large"], "thresholds": [0.8], "score": "difference", "postcheck": True}
CHOICES = [("mnn", {}), ("cascade", {}), ("network", {"network": "large"})]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two families on digits: a switch with its experts, and a cascade of two networks; the switch has a seed 1 too."""
    run = tmp_path_factory.mktemp("runs") / "both"
    data = digits_networks.prepared(run / layout.DATA)
    for name, width, seed in [("small", 4, 0), ("large", 8, 0), ("small", 4, 1)]:
        folder = layout.place(run, layout.NETWORK, network=name, seed=seed)
        section = NetworkSection(architecture="small_cnn", settings={"width": width, "depth": 2})
        training = digits_networks.training(epochs=4)
        digits_networks.exported(data, digits_networks.switch(data, folder, name=name, network=section, training=training, seed=seed))
    experts = layout.place(run, layout.EXPERTS, seed=0, dataset_threshold=0.1)
    small = layout.place(run, f"{layout.NETWORK}/weights.safetensors", network="small", seed=0)
    digits_networks.experts(data, small, experts, list(range(10)))
    evaluation = layout.place(run, layout.EVALUATION, seed=0, dataset_threshold=0.1)
    evaluate_mnn(
        switch=small.with_name("probabilities.parquet"),
        experts=sorted(experts.glob("class_*/expert_probabilities.parquet")),
        dataset_threshold=0.1,
        output=evaluation,
    )
    collect_mnn(evaluations=[evaluation], expert_sets=[experts], output=run)
    write_json(layout.place(run, f"{layout.CASCADE}/cascade.json", seed=0), CHOSEN)
    return run


def images_of(run: Path) -> np.ndarray:
    """All test images of a run, as a memory map that cannot be written to."""
    prepared = read_prepared(run / layout.DATA)
    rows = prepared.samples.rows("test")
    return prepared.images_NCHW[rows[0] : rows[-1] + 1] if len(rows) == rows[-1] - rows[0] + 1 else prepared.images_NCHW[rows]


def table_of(run: Path, name: str) -> np.ndarray:
    """(N, K) what a network's table says of the test images, which `images_of` gives in the same order."""
    return read_probabilities(layout.place(run, f"{layout.NETWORK}/probabilities.parquet", network=name, seed=0), "test").p_NK


def from_tables(run: Path, family: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and what ran, as the tables of the run have it and the functions that evaluate it."""
    if family == "network":
        return table_of(run, "large"), np.ones((len(table_of(run, "large")), 1), bool)
    if family == "cascade":
        tables = [table_of(run, name) for name in CHOSEN["networks"]]
        decisions = decide(tables, CHOSEN["thresholds"], CHOSEN["score"], CHOSEN["postcheck"])
        p_NK = np.stack(tables)[decisions.answered_N, np.arange(len(tables[0]))]
        assert (decisions.answered_N == 0).any()
        assert (decisions.answered_N == 1).any()
        assert (decisions.prediction_N == p_NK.argmax(axis=1)).all()
        return p_NK, decisions.asked_N[:, None] > np.arange(2)
    function = load(run, family="mnn").function
    switch_NK, folder = table_of(run, "small"), layout.place(run, layout.EXPERTS, seed=0, dataset_threshold=0.1)
    files = [folder / f"class_{c}/expert_probabilities.parquet" for c in range(10)]
    expert_NK = np.stack([read_expert_probabilities(path, "test").expert_probability for path in files], axis=1)
    active_NK = prefix_mask(switch_NK, prefix_lengths(function.name, function.parameters, switch_NK))
    trained_K = np.array([read_header(path.with_name("weights.safetensors"))["state"] == "trained" for path in files])
    ran_NP = np.concatenate([np.ones((len(switch_NK), 1), bool), active_NK & trained_K], axis=1)
    return combine(switch_NK, expert_NK, active_NK), ran_NP


def macs_of(run: Path, family: str) -> list[int]:
    """Of every part, counted from the files of the run."""
    names = {"network": ["large"], "cascade": CHOSEN["networks"], "mnn": ["small"] * 11}[family]
    modules = [SingleNetwork.load(run, network=name).module for name in names]
    return [count_macs(module, 1, 8) for module in modules]


@pytest.mark.parametrize(("family", "choice"), CHOICES)
def test_every_family_says_what_the_tables_say(run: Path, family: str, choice: dict[str, str]) -> None:
    model = package.load(str(run), family=family, **choice)
    p_NK, ran_NP = from_tables(run, family)
    macs_P = np.array(macs_of(run, family))
    for images in (images_of(run), torch.from_numpy(images_of(run).copy())):
        answer = model.answer(images)
        np.testing.assert_allclose(answer.p_NK, p_NK, atol=1e-5, rtol=0)
        np.testing.assert_array_equal(answer.p_NK.argmax(axis=1), p_NK.argmax(axis=1))
        np.testing.assert_array_equal(answer.ran_NP, ran_NP)
        np.testing.assert_array_equal(answer.macs_N, [macs_P[ran].sum() for ran in ran_NP])
    assert (answer.p_NK.dtype, answer.ran_NP.dtype, answer.macs_N.dtype) == (np.float64, bool, np.int64)
    assert answer.ran_NP.shape == (len(p_NK), len(answer.parts))
    expected = {"network": ["large"], "cascade": ["small", "large"], "mnn": ["switch", *(f"expert {k}" for k in range(10))]}[family]
    assert list(answer.parts) == expected
    assert answer.ran(3) == [name for name, ran in zip(expected, ran_NP[3], strict=True) if ran]
    assert (answer.active_NK is None) == (family != "mnn")


@pytest.mark.parametrize(("family", "choice"), CHOICES)
def test_a_packed_file_answers_exactly_as_the_run(run: Path, tmp_path: Path, family: str, choice: dict[str, str]) -> None:
    model = load(run, family=family, **choice)
    for name in ("model", "again"):
        pack(run, output=tmp_path / f"{name}.safetensors", family=family, **choice)
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    packed = load(tmp_path / "model.safetensors")
    assert type(packed) is type(model)
    for images in (images_of(run), images_of(run)[:1], images_of(run)[:0]):
        first, second = model.answer(images), packed.answer(images)
        for field in ("p_NK", "ran_NP", "macs_N"):
            np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
        assert first.parts == second.parts
        assert len(first.p_NK) == len(images)
    assert packed.class_names == model.class_names == [str(k) for k in range(10)]
    for key in ("channels", "image_size", "class_names", "digest", "origin"):
        assert packed.header[key] == model.header[key]
    assert packed.described == model.described
    assert packed.header["origin"]["run"] == "both"
    packed.save(tmp_path / "third.safetensors")
    assert (tmp_path / "third.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("family", "choice"), CHOICES)
def test_other_images_are_refused_in_one_line(run: Path, family: str, choice: dict[str, str]) -> None:
    model, images = load(run, family=family, **choice), images_of(run)
    for wrong in (images.astype(np.float32), images[:, :, :7], images[0], torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [[1, 2]]):
        with pytest.raises(MetannError, match=r"images are .*; needed: uint8 of shape \(N, 1, 8, 8\)") as error:
            model.answer(wrong)
        assert "\n" not in str(error.value)


def test_a_loaded_network_is_ready_once_and_for_all(run: Path) -> None:
    """To look at all parts of a small network for every image takes as long as half of its layers: it was slower alone than in a family."""
    network = SingleNetwork.load(run, network="large")
    images = read_prepared(run / layout.DATA).images_NCHW[:1]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in network.module.parameters() if value.ndim == 4)
    before = network.answer(images)
    network.module.eval = network.module.to = network.module.train = None  # type: ignore[assignment]
    assert (network.answer(images).p_NK == before.p_NK).all()


def test_a_network_of_a_cascade_that_is_not_asked_does_not_run(run: Path) -> None:
    cascade = load(run, family="cascade")
    seen = [0, 0]
    for number, member in enumerate(cascade.members):

        def count(_module: object, inputs: tuple[torch.Tensor], number: int = number) -> None:
            seen[number] += len(inputs[0])

        member.module.register_forward_pre_hook(count)
    answer = cascade.answer(images_of(run))
    assert seen == answer.ran_NP.sum(axis=0).tolist()
    assert seen[0] > seen[1] > 0


def test_a_cascade_judges_each_network_by_its_own_normalisation(run: Path, tmp_path: Path) -> None:
    """Networks from elsewhere were trained on pixels of another mean: the header of each says which, packed too."""
    copy = shutil.copytree(run, tmp_path / "run")
    path = layout.place(copy, f"{layout.NETWORK}/weights.safetensors", network="large", seed=0)
    found = SingleNetwork.read(path)
    save_weights(path, found.module, found.header | {"mean": [0.9], "std": [0.1]})
    cascade = load(copy, family="cascade")
    cascade.save(tmp_path / "model.safetensors")
    packed, before = load(tmp_path / "model.safetensors"), load(run, family="cascade")
    images = images_of(run)
    np.testing.assert_array_equal(packed.answer(images).p_NK, cascade.answer(images).p_NK)
    second_N = before.answer(images).ran_NP[:, 1]
    assert not np.allclose(packed.answer(images).p_NK[second_N], before.answer(images).p_NK[second_N])


def test_the_family_is_named_where_there_are_several(run: Path, tmp_path: Path) -> None:
    with pytest.raises(MetannError, match="both holds mnn and cascade; name the family"):
        load(run)
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "cascade")
    assert type(load(copy)).__name__ == "MetaNeuralNetwork"
    with pytest.raises(MetannError, match=r"is not the folder of a finished cascade \(no cascade/seed_\*/cascade\.json\)"):
        load(copy, family="cascade")
    shutil.copytree(run / "cascade", copy / "cascade")
    shutil.rmtree(copy / "tables")
    assert type(load(copy)).__name__ == "Cascade"
    shutil.rmtree(copy / "cascade")
    with pytest.raises(
        MetannError, match=r"\(nothing of mnn, cascade, mixture, hypernetwork\); of its networks one can be taken by its name: large"
    ):
        load(copy)
    assert load(copy, network="small", seed=1).header["origin"] == {"run": "run", "seed": 1}
    assert load(layout.place(copy, f"{layout.NETWORK}/weights.safetensors", network="large", seed=0)).name == "large"


def test_bad_choices_are_one_line(run: Path, tmp_path: Path) -> None:
    pack(run, output=tmp_path / "cascade.safetensors", family="cascade")
    weights = layout.place(run, f"{layout.NETWORK}/weights.safetensors", network="large", seed=0)
    cases = [
        ((run,), {"family": "mnm"}, "unknown family 'mnm'; known: cascade, hypernetwork, mixture, mnn, network"),
        ((run,), {"family": "cascade", "seed": 1}, "unknown seed '1'; known: 0"),
        (
            (run,),
            {"family": "cascade", "dataset_threshold": 0.1},
            "dataset_threshold cannot be chosen for .*, a cascade; known: rule, seed",
        ),
        ((run,), {"family": "network"}, "which network of .*both. Give `network`; known: large, small"),
        ((run,), {"network": "huge"}, "unknown network 'huge'; known: large, small"),
        ((run,), {"network": "large", "seed": 1}, "unknown seed '1'; known: 0"),
        ((tmp_path / "cascade.safetensors",), {"seed": 0}, "is packed: its seed is fixed"),
        ((tmp_path / "cascade.safetensors",), {"family": "mnn"}, "is not a packed meta neural network"),
        ((weights,), {"family": "cascade"}, "is not a packed cascade; make one with: metann pack RUN --family cascade"),
        ((weights,), {"seed": 0}, "is one network; give the folder of a run to choose network and seed"),
        ((tmp_path / "none.safetensors",), {}, "no weights file"),
        (
            (tmp_path,),
            {},
            r"is not the folder of a finished run \(nothing of mnn, cascade, mixture, hypernetwork\); give one, or a packed file",
        ),
    ]
    for arguments, choice, text in cases:
        with pytest.raises(MetannError, match=text) as error:
            load(*arguments, **choice)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("what", "change", "says"),
    [
        ("switch", {"network": "twin"}, "was made for network 'twin', but 'small' is asked for"),
        ("switch", {"class": 3}, "was made for class 3 alone; use the weights of the whole network"),
        ("switch", {"fold": 0, "folds": 2}, "was made for fold 0 alone"),
        ("expert", {"network": "twin"}, "class_3/weights.safetensors was made for network 'twin', but 'small' is asked for"),
        ("prefix", {"seed": 1}, r"prefix.parquet is of seed 1, its folder of 0"),
        ("prefix", {"dataset_threshold": 0.2}, r"prefix.parquet is of dataset_threshold 0.2, its folder of 0.1"),
    ],
)
def test_parts_of_a_meta_neural_network_that_do_not_belong_together(run: Path, tmp_path: Path, what: str, change: dict, says: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    places = {
        "switch": layout.place(copy, f"{layout.NETWORK}/weights.safetensors", network="small", seed=0),
        "expert": layout.place(copy, f"{layout.EXPERT}/weights.safetensors", seed=0, dataset_threshold=0.1, c=3),
        "prefix": layout.place(copy, f"{layout.EVALUATION}/prefix.parquet", seed=0, dataset_threshold=0.1),
    }
    rewrite(places[what], header_of(places[what]) | change)
    with pytest.raises(MetannError, match=says):
        pack(copy, output=tmp_path / "model.safetensors", family="mnn")
    assert not (tmp_path / "model.safetensors").exists()


def test_parts_of_a_cascade_that_do_not_belong_together(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    path = layout.place(copy, f"{layout.NETWORK}/weights.safetensors", network="large", seed=0)
    found = SingleNetwork.read(path)
    save_weights(path, found.module, found.header | {"digest": "another"})
    with pytest.raises(MetannError, match="was made for digest 'another'"):
        load(copy, family="cascade")
    small = SingleNetwork.load(run, network="small")
    names = [str(9 - k) for k in range(10)]
    with pytest.raises(MetannError, match=r"network large was made for class_names\[0\] '9', but '0' is asked for"):
        Cascade([small, SingleNetwork.of(found.module, found.header | {"class_names": names})], [0.5])
    for threshold in (float("nan"), float("inf")):
        with pytest.raises(MetannError, match=f"threshold {threshold} is not a finite number"):
            Cascade([small, small], [threshold])
    path.unlink()
    with pytest.raises(MetannError, match=r"'large' of .* was imported as a table and has no weights; it cannot be asked of images"):
        load(copy, family="cascade")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_has_the_same_doors(name: str) -> None:
    model = getattr(import_module(KINDS[name].module), KINDS[name].name)
    for needed in ("load", "answer", "save", "to", "class_names", "described"):
        assert hasattr(model, needed), f"{name} lacks {needed}"
    assert len({kind.packed for kind in KINDS.values()}) == len(KINDS)
    assert "network" not in FAMILIES


@pytest.mark.slow
def test_pack_and_predict_a_cascade_and_a_network(run: Path, tmp_path: Path) -> None:
    images = images_of(run)[:20]
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(tmp_path / f"{number:02}.png")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "00.png").read_bytes())
    for family, choice in CHOICES[1:]:
        flags = [word for key, value in ({"family": family} | choice).items() for word in (f"--{key}", value)]
        said = metann("pack", run, "--output", tmp_path / "model.safetensors", *flags).stdout
        assert said.startswith(f"{tmp_path}/model.safetensors: {'small > large' if family == 'cascade' else 'large'} of both, seed 0,")
        answer = load(run, family=family, **choice).answer(images)
        for model in [[run, *flags], *([[tmp_path / "model.safetensors"]] if family == "cascade" else [])]:
            rows = [json.loads(line) for line in metann("predict", *model[:1], tmp_path, *model[1:], "--json").stdout.splitlines()]
            assert [Path(row["file"]).name for row in rows] == [f"{number:02}.png" for number in range(20)], "not the hidden one"
            for number, row in enumerate(rows):
                assert list(row) == ["file", "class", "probability", "ran", "macs", "probabilities"]
                assert list(row["probabilities"].values()) == pytest.approx(answer.p_NK[number].tolist(), abs=1e-6)
                assert (row["class"], row["ran"]) == (str(answer.p_NK[number].argmax()), answer.ran(number))
                assert row["macs"] == answer.macs_N[number]
    table = metann("predict", run, tmp_path, "--family", "cascade").stdout.splitlines()
    assert table[0].split() == ["file", "class", "probability", "ran", "MACs"]
    assert len({len(line) for line in table}) == 1, "aligned"
    assert any("small, large" in line for line in table)
    done = metann("predict", run, tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == f"metann: error: {run} holds mnn and cascade; name the family"


def test_the_chosen_table_is_what_shows_a_finished_run(run: Path) -> None:
    for name, kind in FAMILIES.items():
        if name in ("mixture", "hypernetwork"):  # of runs of their own, see test_mixture_stages and test_adapt_tasks
            continue
        assert next(layout.found(run, kind.evidence), None), f"{name} is not seen by {kind.evidence}"
    assert read_arrow(next(layout.found(run, FAMILIES["mnn"].evidence))[0], "mnn_choice")
