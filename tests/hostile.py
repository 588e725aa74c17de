"""Files of every kind that a run writes, and headers from outside for them: of other types, without keys, deep, or huge; sealed anew."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from digits_networks import prepared as digits
from hypernetwork_small import trained as small_generator
from hypernetwork_synthetic import make_run as hypernetworks
from mixture_synthetic import make_run as mixtures
from safetensors import safe_open
from synthetic import make_run as mnns
from test_collect_cascade import REPORT
from test_collect_cascade import make as cascades

from metann.cascade.run_folder import write_packed
from metann.config.cascade import CascadeRule
from metann.config.mixture import expand
from metann.config.mixture_setting import SettingSection
from metann.cost.macs import count_macs
from metann.errors import MetannError
from metann.files.headers import read_sealed_json, write_sealed_json
from metann.hypernetwork.model import GeneratedClassifier, TrainedGenerator
from metann.mixture.build import Shape, build_mixture
from metann.mixture.run_folder import save_mixture
from metann.mnn.model import MetaNeuralNetwork
from metann.mnn.setting import Rule
from metann.networks._build import build
from metann.stages.collect_run import collect_run
from metann.tables.sealed import seal
from metann.weights.files import save_tensors, save_weights
from metann.weights.single import SingleNetwork

NAMES = ["ant", "bee", "cat"]
HEADER = {"architecture": "small_cnn", "num_classes": 3, "channels": 1, "image_size": 8, "class_names": NAMES, "mean": [0.5], "std": [0.25]}
HEADER |= {"settings": {"width": 4, "depth": 2}, "dataset": "made up", "digest": "d", "seed": 0, "network": "switch"}


def tables(folder: Path) -> Path:
    """Runs of all families with their tables, of made-up answers."""
    run = mnns(folder / "mnn", val=60, test=80, dataset_thresholds=(0.1,))
    collect_run(run=run, families=["mnn"], networks=sorted(run.glob("networks/*/*/probabilities.parquet")))
    cascades(folder / "cascade", scores=["entropy"])
    write_sealed_json(folder / "cascade" / "report.json", REPORT)
    mixtures(folder / "mixture", (0,), {"one_expert": {"kind": "uniform", "experts": 1}, "soft": {"kind": "noisy"}}, n=180)
    arms = {"z_adapt": (0.8, 0.9, 8), "finetune_net": (0.7, 0.95, 1209), "zero_shot": (0.5, 0.5, 0)}
    hypernetworks(folder / "hypernetwork", [{"experiment": "E2b", "arms": arms, "shots": (1, 5), "classes": 6, "test": 1}])
    digits(folder / "data")
    for path in run.rglob("expert_set.json"):
        write_sealed_json(path, json.loads(path.read_text()))
    write_sealed_json(folder / "training.json", {"epochs": 3, "expert_images": 7})
    return folder


def weights(folder: Path) -> dict[str, Path]:
    """One file of each kind of model, untrained."""
    torch.manual_seed(0)

    def network() -> torch.nn.Module:
        return build("small_cnn", 3, 1, 8, width=4, depth=2)

    paths = {kind: folder / f"{kind}.safetensors" for kind in ("network", "mnn", "cascade", "mixture", "generator", "classifier")}
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(paths["network"], network(), HEADER)
    origin = {"run": "demo", "seed": 0, "dataset_threshold": 0.1}
    MetaNeuralNetwork(network(), [network(), None, network()], Rule("threshold(0.2)"), HEADER | {"origin": origin}).save(paths["mnn"])
    members = [SingleNetwork.of(network(), HEADER | {"network": name}) for name in ("small", "large")]
    write_packed(paths["cascade"], members, CascadeRule(thresholds=(0.5,), score="entropy"), {"run": "demo", "seed": 0})
    common = {"experts": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}, "number": 2}}
    common |= {"gate": {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}}
    setting = SettingSection.model_validate(expand({"preset": "expectation", "name": "soft"}, common))
    mixture = build_mixture(setting, Shape(3, 1, 8))
    described = {key: HEADER[key] for key in ("num_classes", "channels", "image_size", "class_names", "mean", "std", "dataset", "digest")}
    described |= {"setting": "soft", "preset": "expectation", "seed": 0, "class_sets": None, "phases": [], "parameters": 9}
    save_mixture(paths["mixture"], mixture, described | {"gate_macs": 5, "expert_macs": [7, 7]})
    generator, classifier = _written()
    save_weights(paths["generator"], dict(generator.generator.state_dict()) | {"z": generator.z_TD}, generator.header)
    classifier.save(paths["classifier"])
    return paths


def _written() -> tuple[TrainedGenerator, GeneratedClassifier]:
    made = small_generator()
    header = made.header | {
        key: HEADER[key] for key in ("num_classes", "channels", "image_size", "class_names", "dataset", "digest", "seed")
    }
    header |= {"kind": "generator", "architecture": "hypernetwork small", "classifier": "small", "settings": {}}
    header |= {
        "generator_kind": "mlp",
        "generator_digest": made.generator.digest(),
        "parameters": 9,
        "scheme": "anchor",
        "held_out": "tasks",
    }
    header |= {"macs": count_macs(made.classifier, 1, 8)}
    whole = TrainedGenerator(made.generator, made.classifier, made.z_TD, header)
    z_MD = torch.zeros(3, 4)
    with torch.no_grad():
        parameters = {name: value.detach() for name, value in made.generator(z_MD).items()}
    return whole, GeneratedClassifier.written(whole, z_MD, parameters, NAMES, {"seed": 0, "val_accuracy": 0.5})


def header_of(path: Path) -> dict[str, Any]:
    """What a file says of itself, without its seal."""
    if path.suffix == ".json":
        return dict(read_sealed_json(path))
    if path.suffix == ".parquet":
        found = json.loads(pq.read_schema(path).metadata[b"metann"])
    else:
        with safe_open(path, "pt") as file:
            found = json.loads(file.metadata()["metann"])
    found.pop("content")
    return found


def rewrite(path: Path, header: dict[str, Any]) -> None:
    """The same content under another header, sealed anew: as nobody but an attacker, or another version, would write it."""
    if path.suffix == ".json":
        write_sealed_json(path, header)
    elif path.suffix == ".parquet":
        pq.write_table(seal(pq.read_table(path, partitioning=None), header), path)
    else:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_tensors(path, state, header)


def deep(levels: int = 400) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


BAD = [None, 5, -1, 10**30, 1e308, "abc", "", [], {}, [None], ["x", 2], {"a": None}, {"gate": 5, "experts": 7}, True, deep()]


def changes(
    header: dict[str, Any], bad: list[Any] = BAD, kept: tuple[str, ...] = ("kind", "schema")
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what, header): without each key, and each key with each bad value."""
    for key in header:
        if key in kept:
            continue
        yield f"no {key}", {name: value for name, value in header.items() if name != key}
        for value in bad:
            yield f"{key} = {str(value)[:20]}", header | {key: value}


def one_line_or_nothing(call: Callable[[], object], what: str) -> bool:
    """Whether a call was refused; anything but one line is a failure that names the change."""
    said = None
    try:
        call()
    except MetannError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {str(error)[:200]}") from error
    assert said is None or ("\n" not in said and len(said) < 2000), what
    return said is not None
