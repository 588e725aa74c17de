"""The meta neural network as a module: it says what the tables say, and asks no more experts than it has to."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from conftest import metann
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from metann.compute.inference import CPU_BATCH
from metann.config.mnn import MnnEvaluation
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.function_call import SwitchFunction
from metann.mnn.calibration import apply_expert_temperature, apply_temperature
from metann.mnn.combination import RULES, combine, log_odds_added
from metann.mnn.evaluation import prefix_lengths, prefix_mask
from metann.mnn.model import MetaNeuralNetwork
from metann.mnn.setting import Rule
from metann.mnn.single import active_classes, combine_one
from metann.networks._build import build
from metann.stages.collect_mnn import collect_mnn
from metann.stages.evaluate_mnn import evaluate_mnn
from metann.tables.frames import read_arrow
from metann.tables.probabilities import read_expert_probabilities, read_probabilities, write_probabilities

THRESHOLDS = (0.1, 0.3)
FUNCTIONS = [
    "threshold(0.2)",
    "threshold(0)",
    "threshold(1)",
    "top_k(2)",
    "top_p(0.9)",
    "margin(0.3)",
    "only_if_unsure(0.6, 2)",
    "contested(0.2)",
    "unsure(0.8)",
    "none",
    "all",
]


def evaluate(run: Path, threshold: float, **options: object) -> None:
    experts = run / f"mnn/seed_0/dataset_threshold_{threshold:.2f}"
    evaluate_mnn(
        switch=run / "networks/switch/seed_0/probabilities.parquet",
        experts=sorted(experts.glob("class_*/expert_probabilities.parquet")),
        dataset_threshold=threshold,
        output=run / f"mnn/seed_0/dataset_threshold_{threshold:.2f}/evaluation",
        options=MnnEvaluation(test_thresholds=[0.1, 0.2, 0.3], switch_functions=["top_k(2)", "none"], **options),
    )


def collect(run: Path) -> None:
    collect_mnn(evaluations=sorted(run.glob("mnn/seed_0/*/evaluation")), expert_sets=[run / "mnn"], output=run)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits, as the workflow leaves it. At 0.30 the experts of some classes may have nothing to learn."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    data = digits_networks.prepared(run / "data")
    weights = digits_networks.switch(data, run / "networks/switch/seed_0", training=digits_networks.training(epochs=8))
    digits_networks.exported(data, weights)
    for threshold in THRESHOLDS:
        digits_networks.experts(data, weights, run / f"mnn/seed_0/dataset_threshold_{threshold:.2f}", list(range(10)), threshold)
        evaluate(run, threshold)
    collect(run)
    return run


def pictured(run: Path) -> tuple[torch.Tensor, np.ndarray]:
    """All test images of a run, and their sample ids."""
    prepared = read_prepared(run / "data")
    rows = prepared.samples.rows("test")
    return torch.from_numpy(prepared.images_NCHW[rows]), prepared.samples.sample_id[rows]


def tables(run: Path, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Switch and expert probabilities of the test images."""
    switch = read_probabilities(run / "networks/switch/seed_0/probabilities.parquet", "test")
    folder = run / f"mnn/seed_0/dataset_threshold_{threshold:.2f}"
    experts = [read_expert_probabilities(folder / f"class_{c}/expert_probabilities.parquet", "test") for c in range(10)]
    assert all((expert.sample_id == switch.sample_id).all() for expert in experts)
    return switch.p_NK, np.stack([expert.expert_probability for expert in experts], axis=1)


def assert_equal_to_tables(network: MetaNeuralNetwork, run: Path, p_NK: np.ndarray, active_NK: np.ndarray, batch: int) -> None:
    answers = [network(part) for part in pictured(run)[0].split(batch)]
    found_NK, found_active_NK, macs_N = (torch.cat(parts).numpy() for parts in zip(*answers, strict=True))
    np.testing.assert_array_equal(found_active_NK, active_NK)
    np.testing.assert_array_equal(found_NK.argmax(axis=1), p_NK.argmax(axis=1))
    np.testing.assert_allclose(found_NK, p_NK, atol=1e-5, rtol=0)
    trained_K = np.array([str(c) in network.experts for c in range(10)])
    np.testing.assert_array_equal(macs_N, network.macs * (1 + (active_NK & trained_K).sum(axis=1)))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("batch", [500, 37, 1])
def test_it_says_what_the_tables_say(run: Path, function: str, batch: int) -> None:
    network = MetaNeuralNetwork.load(run, dataset_threshold=0.1, switch_function=function)
    switch_NK, expert_NK = tables(run, 0.1)
    active_NK = prefix_mask(switch_NK, prefix_lengths(network.function.name, network.function.parameters, switch_NK))
    assert_equal_to_tables(network, run, combine(switch_NK, expert_NK, active_NK), active_NK, batch)


def test_it_takes_the_cell_that_was_chosen(run: Path) -> None:
    chosen = next(row for row in read_arrow(run / "tables/mnn_choice.parquet", "mnn_choice")[0].to_pylist() if row["scope"] == "chosen")
    network = MetaNeuralNetwork.load(str(run))
    assert network.header["origin"] == {"run": "digits", "seed": 0, "dataset_threshold": chosen["dataset_threshold"]}
    assert (network.function.name, network.function.parameter) == (chosen["switch_function"], chosen["parameter"])
    images, ids = pictured(run)
    labels_N = read_prepared(run / "data").samples.label[ids]
    answer = network(images)
    assert (answer.p_NK.argmax(dim=1).numpy() == labels_N).sum() == chosen["correct"]
    assert answer.active_NK.sum(dim=1).double().mean().item() == pytest.approx(chosen["mean_experts"])


@pytest.mark.parametrize("combination", RULES)
@pytest.mark.parametrize("temperature", ["none", "validation"])
@pytest.mark.parametrize("batch", [500, 1])
def test_every_way_to_combine(run: Path, tmp_path: Path, combination: str, temperature: str, batch: int) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for threshold in THRESHOLDS:
        evaluate(copy, threshold, combine=combination, temperature=temperature)
    collect(copy)
    network = MetaNeuralNetwork.load(copy, dataset_threshold=0.3, switch_function="threshold(0.15)")
    assert network.rule.combine == combination
    assert (network.rule.switch_temperature is None) == (temperature == "none")
    switch_NK, expert_NK = tables(copy, 0.3)
    prefix = read_arrow(copy / "mnn/seed_0/dataset_threshold_0.30/evaluation/prefix.parquet", "prefix")[1]
    if temperature == "validation":
        switch_NK = apply_temperature(switch_NK, prefix["temperatures"]["switch"]).astype(np.float32)
        columns = [apply_expert_temperature(expert_NK[:, c], prefix["temperatures"]["experts"][c]) for c in range(10)]
        expert_NK = np.stack(columns, axis=1)
    active_NK = prefix_mask(switch_NK, prefix_lengths("threshold", (0.15,), switch_NK))
    assert (network.rule.weights == (1.0, 1.0)) == (combination != "product_calibrated")
    p_NK = combine(switch_NK, expert_NK, active_NK, rule=combination, prior_K=prefix["prior"], weights=tuple(prefix["weights"]))
    assert_equal_to_tables(network, copy, p_NK, active_NK, batch)


def test_only_active_experts_run_and_only_on_their_images(run: Path) -> None:
    network = MetaNeuralNetwork.load(run, dataset_threshold=0.1, switch_function="threshold(0.25)")
    seen: dict[int, list[int]] = {c: [] for c in range(10)}
    for c, expert in network.experts.items():
        expert.register_forward_hook(lambda _module, inputs, _output, c=int(c): seen[c].append(len(inputs[0])))
    images, _ = pictured(run)
    answer = network(images)
    counts = answer.active_NK.sum(dim=0).tolist()
    assert 0 < sum(counts) < 10 * len(images)
    runs = {c: count for c, count in enumerate(counts) if str(c) in network.experts}
    assert {c: sum(sizes) for c, sizes in seen.items() if c in runs} == runs
    assert all(len(sizes) == -(-sum(sizes) // CPU_BATCH) for sizes in seen.values()), "together, cut only as the processor likes it"


def test_an_expert_that_was_not_trained_costs_nothing(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    data, weights = copy / "data", copy / "networks/switch/seed_0/weights.safetensors"
    table = read_probabilities(weights.parent / "probabilities.parquet")
    p_NK = np.full(table.p_NK.shape, 0.2 / 9, np.float32)
    p_NK[np.arange(len(p_NK)), np.where(table.label == 3, 4, table.label)] = 0.8  # nobody is taken for a 3
    silent = weights.parent / "silent.parquet"
    write_probabilities(silent, replace(table, p_NK=p_NK))
    folder = copy / "mnn/seed_0/dataset_threshold_0.30"
    digits_networks.experts(data, weights, folder, [3], 0.3, selection=None, probabilities=silent)
    # That expert's table holds the made-up switch; what it has to say is the switch's own opinion.
    network = MetaNeuralNetwork.load(copy, dataset_threshold=0.3, switch_function="all")
    assert "3" not in network.experts
    switch_NK, expert_NK = tables(copy, 0.3)
    expert_NK[:, 3] = switch_NK[:, 3]
    everyone_NK = np.ones(switch_NK.shape, bool)
    for batch in (500, 1):
        assert_equal_to_tables(network, copy, combine(switch_NK, expert_NK, everyone_NK), everyone_NK, batch)


def test_a_packed_file_is_the_same_network(run: Path, tmp_path: Path) -> None:
    network = MetaNeuralNetwork.load(run, switch_function="top_k(2)")
    network.save(tmp_path / "model.safetensors")
    network.save(tmp_path / "again.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    packed = MetaNeuralNetwork.load(tmp_path / "model.safetensors")
    assert packed.rule == network.rule
    assert packed.class_names == network.class_names
    assert packed.header["origin"] == network.header["origin"]
    images, _ = pictured(run)
    for first, second in zip(network(images), packed(images), strict=True):
        assert torch.equal(first, second)
    assert MetaNeuralNetwork.load(tmp_path / "model.safetensors", switch_function="none").rule.switch_function == "none"


def test_module_manners(run: Path) -> None:
    network = MetaNeuralNetwork.load(run)
    assert not network.train().training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images, _ = pictured(run)
    empty = network(images[:0])
    assert [tuple(part.shape) for part in empty] == [(0, 10), (0, 10), (0,)]
    assert [part.dtype for part in empty] == [torch.float64, torch.bool, torch.int64] == [part.dtype for part in network(images[:1])]
    answer = network(images[:3])
    answer.p_NK.add_(1)  # an ordinary tensor, not one of inference mode
    for wrong in (images.float(), images[:, :, :7], images[0], images.numpy(), [1, 2]):
        with pytest.raises(MetannError, match=r"needed: a tensor of torch.uint8 of shape \(N, 1, 8, 8\)"):
            network(wrong)


def test_parts_that_do_not_belong_together(run: Path) -> None:
    header = {"class_names": ["a", "b"], "channels": 1, "image_size": 8, "mean": [0.5], "std": [0.5]}
    network = build("small_cnn", 2, 1, 8, width=2, depth=1)
    with pytest.raises(MetannError, match="1 experts for 2 classes"):
        MetaNeuralNetwork(network, [None], Rule("none"), header)
    with pytest.raises(MetannError, match="unknown switch function"):
        MetaNeuralNetwork(network, [None, None], Rule("nothing"), header)
    with pytest.raises(MetannError, match="needs prior_K"):
        MetaNeuralNetwork(network, [None, None], Rule("none", "product_calibrated"), header)
    with pytest.raises(MetannError, match=r"unknown seed '3'; known: 0"):
        MetaNeuralNetwork.load(run, seed=3)
    with pytest.raises(MetannError, match=r"unknown dataset threshold '0.25'; known: 0.10, 0.30"):
        MetaNeuralNetwork.load(run, dataset_threshold=0.25)


def test_experts_of_another_run_are_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    experts = copy / "mnn/seed_0/dataset_threshold_0.10"
    shutil.copy(experts / "class_2/weights.safetensors", experts / "class_1/weights.safetensors")
    with pytest.raises(MetannError, match="was made for class 2, but 1 is asked for"):
        MetaNeuralNetwork.load(copy, dataset_threshold=0.1)
    (experts / "class_0/weights.safetensors").unlink()
    with pytest.raises(MetannError, match="no weights file"):
        MetaNeuralNetwork.load(copy, dataset_threshold=0.1)


PROBABILITY = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5]))


@given(st.data(), st.integers(2, 5), st.sampled_from(RULES))
def test_one_image_in_plain_floats_is_combined_as_many(data: st.DataObject, classes: int, rule: str) -> None:
    weights = data.draw(st.lists(PROBABILITY, min_size=classes, max_size=classes).filter(sum))
    switch_K = [weight / sum(weights) for weight in weights]
    answers = data.draw(st.dictionaries(st.integers(0, classes - 1), PROBABILITY))
    prior_K = data.draw(st.lists(st.floats(0.01, 0.99), min_size=classes, max_size=classes)) if rule == "product_calibrated" else None
    expert_1K, active_1K = np.full((1, classes), 0.5), np.zeros((1, classes), bool)
    for c, answer in answers.items():
        expert_1K[0, c], active_1K[0, c] = answer, True
    many_K = combine([switch_K], expert_1K, active_1K, rule=rule, prior_K=prior_K)[0]
    one_K = combine_one(switch_K, answers, rule=rule, added_K=log_odds_added(rule, prior_K, classes).tolist())
    np.testing.assert_allclose(one_K, many_K, rtol=1e-9, atol=1e-300)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.6, 0.8, 1.0]), min_size=2, max_size=6), st.sampled_from(FUNCTIONS))
def test_one_image_asks_whom_a_batch_asks(switch_K: list[float], text: str) -> None:
    function = SwitchFunction.parse(text)
    (active_K,) = prefix_mask([switch_K], prefix_lengths(function.name, function.parameters, [switch_K]))
    found = active_classes(function, switch_K)
    assert sorted(found) == np.flatnonzero(active_K).tolist()
    assert [switch_K[c] for c in found] == sorted(np.array(switch_K)[active_K], reverse=True)


def test_metann_offers_it_without_importing_torch() -> None:
    code = "import metann, sys; assert 'torch' not in sys.modules; print(metann.MetaNeuralNetwork.__name__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["MetaNeuralNetwork", "True"]
    code = "import metann; metann.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "module 'metann' has no attribute 'nothing'" in done.stderr


@pytest.fixture(scope="module")
def pictures(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test images as files of several kinds and sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    images, _ = pictured(run)
    grey = [Image.fromarray(image[0]) for image in images[:6].numpy()]
    grey[0].save(folder / "a.png")
    grey[1].convert("RGB").save(folder / "b.bmp")
    grey[2].convert("RGBA").save(folder / "c.png")
    (folder / "deeper").mkdir()
    grey[3].resize((40, 40)).save(folder / "deeper" / "d.jpg")
    Image.new("RGB", (30, 17), "red").save(folder / "deeper" / "e.webp")
    (folder / "notes.txt").write_text("not for reading")
    return folder


@pytest.mark.slow
def test_pack_and_predict(run: Path, pictures: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    packed = metann("pack", run, "--output", model, "--dataset-threshold", 0.1, "--switch-function", "top_k(2)")
    assert "switch and 10 experts of digits, small_cnn, digits" in packed.stdout
    rows = [json.loads(line) for line in metann("predict", model, pictures, "--json").stdout.splitlines()]
    names = [str(pictures / name) for name in ("a.png", "b.bmp", "c.png", "deeper/d.jpg", "deeper/e.webp")]
    assert [row["file"] for row in rows] == names
    network = MetaNeuralNetwork.load(model)
    p_NK = network(pictured(run)[0][:3]).p_NK
    for row, p_K in zip(rows, p_NK.tolist(), strict=False):
        assert list(row["probabilities"].values()) == pytest.approx(p_K, abs=1e-6), "grey, colour and transparent files of one image"
        assert row["class"] == network.class_names[int(np.argmax(p_K))]
        assert row["probability"] == max(row["probabilities"].values())
        assert len(row["active"]) == 2
        assert row["ran"] == ["switch", *(f"expert {name}" for name in row["active"])]
        assert row["macs"] == 3 * network.macs
    table = metann("predict", model, pictures / "a.png", pictures / "deeper").stdout.splitlines()
    assert table[0].split() == ["file", "class", "probability", "ran", "MACs"]
    assert [line.split()[0] for line in table[1:]] == [names[0], *names[3:]]
    assert len({len(line) for line in table}) == 1, "aligned"


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "model.safetensors"
    MetaNeuralNetwork.load(run).save(path)
    return path


def predict(*arguments: object) -> None:
    from metann.stages.predict import predict as stage

    stage(arguments[0], list(arguments[1:]))


def test_predict_says_what_is_wrong_in_one_line(run: Path, model: Path, pictures: Path, tmp_path: Path) -> None:
    good = pictures / "a.png"
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "nothing").mkdir()
    cases = [
        ((model, tmp_path / "text.png"), r"text\.png \(not a picture\)"),
        ((model, good, tmp_path / "empty.png"), r"1 of 2 images cannot be read: .*empty\.png \(empty file\)"),
        ((model, tmp_path / "cut.png"), r"cut\.png"),
        ((model, tmp_path / "missing.png"), r"no image .*missing\.png; give image files or folders"),
        ((model, tmp_path / "nothing"), r"no images in folder .*nothing; known: .*\.bmp"),
        ((tmp_path / "model.safetensors", good), "no weights file"),
        ((tmp_path, good), "is not the folder of a finished run"),
        ((good, good), "as safetensors"),
        ((run / "mnn/seed_0/dataset_threshold_0.10/class_3/weights.safetensors", good), "is an expert for class 3 and knows no other"),
        ((model,), "no images given"),
    ]
    for arguments, text in cases:
        with pytest.raises(MetannError, match=text) as found:
            predict(*arguments)
        assert "\n" not in str(found.value)


def test_another_file_is_no_packed_meta_neural_network(run: Path) -> None:
    with pytest.raises(MetannError, match="is not a packed meta neural network; make one with: metann pack RUN"):
        MetaNeuralNetwork.load(run / "networks/switch/seed_0/weights.safetensors")


def test_packed_choices_are_fixed(model: Path) -> None:
    with pytest.raises(MetannError, match="its seed and dataset threshold are fixed"):
        MetaNeuralNetwork.load(model, seed=0)


def test_pack_errors(run: Path, tmp_path: Path) -> None:
    from metann.stages.pack import pack

    with pytest.raises(MetannError, match="no folder"):
        pack(tmp_path / "nothing", output=tmp_path / "m.safetensors")
    with pytest.raises(MetannError, match=r"does not end in \.safetensors"):
        pack(run, output=tmp_path / "m.pt")
