"""Training, exporting and answering on scikit-learn's digits: files, kills, other runs' weights, and what does not belong together."""

import json
from pathlib import Path

import digits_networks
import numpy as np
import pytest
import torch
from conftest import metann

import metann as package
from metann import layout
from metann.config.mixture_setting import SettingSection, expand
from metann.config.network import NetworkSection
from metann.data.prepared import read_prepared
from metann.errors import MetannError
from metann.mixture.model import MixtureOfExperts
from metann.mixture.parts import parts_of
from metann.mixture.phases import MixtureTrainer
from metann.mixture.run_folder import load_mixture
from metann.model import FAMILIES
from metann.stages.export_gate import export_gate
from metann.stages.train_mixture import train_mixture
from metann.tables.frames import write_frame
from metann.tables.probabilities import read_gate
from metann.training.history import read_history

NETWORK = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
COMMON = {
    "experts": {**NETWORK, "number": 3},
    "gate": NETWORK,
    "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"},
}
DIFFERENT = ("seconds",)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_networks.prepared(tmp_path_factory.mktemp("digits") / layout.DATA)


def text(setting: object, **more: object) -> str:
    written = {"preset": setting, "name": setting} if isinstance(setting, str) and more else setting
    whole = SettingSection.model_validate(expand(written | more if more else written, COMMON))
    return json.dumps(whole.model_dump(mode="json"))


def trained(data: Path, folder: Path, setting: object = "top_2", seed: int = 0, **more: object) -> Path:
    files = {name: more.pop(name) for name in ("sources", "embeddings") if name in more}
    train_mixture(setting=text(setting, **more), data=data, seed=seed, output=folder, **files)
    return folder / "weights.safetensors"


def history(folder: Path) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in DIFFERENT} for row in read_history(folder / "training.csv")]


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """A run of two settings and two seeds, laid as the workflow lays it, of which validation chose top_2."""
    run = data.parent
    for setting in ("top_2", "attentive"):
        for seed in (0, 1):
            folder = layout.place(run, layout.MIXTURE, setting=setting, seed=seed)
            export_gate(weights=trained(data, folder, setting, seed), data=data, output=folder / "gate.parquet")
    chosen = {"role": ["lowest_error", "cleanest"], "setting": ["top_2", "attentive"]}
    write_frame(layout.place(run, layout.TABLE, table="mixture_choice"), chosen, "mixture_choice", {})
    return run


def test_files_header_and_history(run: Path) -> None:
    folder = layout.place(run, layout.MIXTURE, setting="top_2", seed=0)
    assert sorted(path.name for path in folder.iterdir()) == ["gate.parquet", "training.csv", "weights.safetensors"], "no checkpoint"
    mixture, header = load_mixture(folder / "weights.safetensors")
    assert {key: header[key] for key in ("kind", "setting", "preset", "seed", "experts", "architecture", "class_sets")} == {
        "kind": "mixture",
        "setting": "top_2",
        "preset": "top_2",
        "seed": 0,
        "experts": 3,
        "architecture": "small_cnn",
        "class_sets": None,
    }
    assert header["parameters"] == sum(p.numel() for p in mixture.parameters())
    rows = history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(sum(row[f"usage_{e}"] for e in range(3)) == pytest.approx(1, abs=1e-4) for row in rows)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    table = read_gate(folder / "gate.parquet")
    val = table.select("val")
    best = max(row["val_accuracy"] for row in rows)
    assert np.mean(val.prediction == val.label) == pytest.approx(best, abs=1e-6), "the best epoch is what is kept"
    assert table.metadata["options"]["route"]["eval"] == "top_k(2)"


def test_the_table_says_who_answered_and_at_what_cost(run: Path) -> None:
    for setting, running in (("top_2", 2), ("attentive", 3)):
        table = read_gate(layout.place(run, f"{layout.MIXTURE}/gate.parquet", setting=setting, seed=0))
        assert ((table.gate_NE > 0).sum(axis=1) <= (2 if setting == "top_2" else 3)).all()
        facts = table.metadata
        assert (table.macs == facts["gate_macs"] + running * facts["expert_macs"][0]).all()


def test_same_arguments_same_bytes(data: Path, run: Path, tmp_path: Path) -> None:
    first = layout.place(run, layout.MIXTURE, setting="top_2", seed=0)
    again = trained(data, tmp_path / "again")
    assert again.read_bytes() == (first / "weights.safetensors").read_bytes()
    export_gate(weights=again, data=data, output=tmp_path / "gate.parquet")
    assert (tmp_path / "gate.parquet").read_bytes() == (first / "gate.parquet").read_bytes()
    other = layout.place(run, f"{layout.MIXTURE}/weights.safetensors", setting="top_2", seed=1)
    assert other.read_bytes() != again.read_bytes()


@pytest.mark.parametrize(("setting", "dies"), [("top_2", 2), ("distilled", 3), ("distilled", 4), ("from_no_gate", 2)])
def test_a_killed_training_ends_alike(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str, dies: int
) -> None:
    """Within a phase, and as the first epoch of a phase is over or not."""
    more = {"training": {"epochs": 2}, "regularisers": {"importance": 0.2}}
    whole = trained(data, tmp_path / "whole", setting, **more)
    epoch = MixtureTrainer.epoch

    def until(self: MixtureTrainer, number: int) -> dict:
        if number == dies:
            raise KeyboardInterrupt
        return epoch(self, number)

    monkeypatch.setattr(MixtureTrainer, "epoch", until)
    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "killed", setting, **more)
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    monkeypatch.setattr(MixtureTrainer, "epoch", epoch)
    capsys.readouterr()
    resumed = trained(data, tmp_path / "killed", setting, **more)
    assert f"resuming after epoch {dies - 1}" in capsys.readouterr().out
    assert resumed.read_bytes() == whole.read_bytes()
    assert history(tmp_path / "killed") == history(tmp_path / "whole")


def test_a_distilled_gate_keeps_the_attentive_ones_experts(data: Path, run: Path, tmp_path: Path) -> None:
    """Settings with the same first phase have the same first phase, bit for bit; and another run's weights can be taken instead."""
    attentive = layout.place(run, f"{layout.MIXTURE}/weights.safetensors", setting="attentive", seed=0)
    phase = {"train": ["gate"], "start_from": "attentive", "parts": ["experts", "gate_trunk"]}
    taken = {"preset": "expectation", "name": "taken", "phases": [phase]}
    files = [trained(data, tmp_path / "a", "distilled"), trained(data, tmp_path / "b", taken, sources=[f"attentive={attentive}"])]
    wanted = parts_of(load_mixture(attentive)[0])
    for path in files:
        mixture, header = load_mixture(path)
        found = parts_of(mixture)
        assert header["options"]["gate"]["kind"] == "mlp"
        for mine, theirs in zip(found.experts, wanted.experts, strict=True):
            assert all(torch.equal(mine[name], theirs[name]) for name in theirs), "weights and batch statistics"


def test_class_sets_train_each_expert_on_its_own(data: Path, tmp_path: Path) -> None:
    sets = [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    pretrained = {"preset": "prechosen", "name": "pre", "experts": {"class_sets": sets}, "training": {"epochs": 6}}
    only = {"phases": [{"train": ["experts"], "change": {"gate": {"kind": "class_sets"}, "route": {"train": "argmax", "eval": "argmax"}}}]}
    path = trained(data, tmp_path / "pre", pretrained | only)
    export_gate(weights=path, data=data, output=tmp_path / "gate.parquet")
    table = read_gate(tmp_path / "gate.parquet")
    assert table.metadata["class_sets"] == sets
    assert table.metadata["oracle"] is True
    for expert, classes in enumerate(sets):
        assert np.array_equal(table.expert == expert, np.isin(table.label, classes))
        assert np.isin(table.answer_NE[:, expert], classes).mean() > 0.95, "it has seen no other class"
    with pytest.raises(MetannError, match="allocates by the true class"):
        MixtureOfExperts.load(path)
    with pytest.raises(MetannError, match="class 9 is in no class set"):
        trained(data, tmp_path / "no", pretrained | {"experts": {"class_sets": [[0, 1, 2], [3, 4, 5], [6, 7, 8]]}})


def test_experts_that_begin_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frozen-gate study: the same first weights, or fresh ones; the gate is the trained one and stays."""
    begun: dict[str, list] = {}
    begin = MixtureTrainer._begin

    def watched(self: MixtureTrainer, number: int, before: object) -> None:
        begin(self, number, before)
        begun.setdefault(self.setting.name, []).append(parts_of(self.mixture))

    monkeypatch.setattr(MixtureTrainer, "_begin", watched)
    ends = {
        name: load_mixture(trained(data, tmp_path / name, name, training={"epochs": 1}))[0] for name in ("frozen_gate", "frozen_gate_fresh")
    }
    first, same = begun["frozen_gate"]
    _, fresh = begun["frozen_gate_fresh"]
    name = "features.0.weight"
    assert torch.equal(first.experts[1][name], same.experts[1][name])
    assert not torch.equal(first.experts[1][name], fresh.experts[1][name])
    for key, begin_state in (("frozen_gate", same), ("frozen_gate_fresh", fresh)):
        after = parts_of(ends[key])
        assert all(torch.equal(after.gate[n], begin_state.gate[n]) for n in after.gate)
        assert not torch.equal(after.experts[1][name], begin_state.experts[1][name])
        assert not torch.equal(first.gate["network.network.features.0.weight"], after.gate["network.network.features.0.weight"])


def test_similarity_in_the_features_of_a_network(data: Path, tmp_path: Path) -> None:
    switch = digits_networks.switch(
        data, tmp_path / "switch", network=NetworkSection(**NETWORK), training=digits_networks.training(epochs=1)
    )
    near = {"regularisers": {"sample_similarity": 5.0}, "similarity": {"space": "switch"}}
    by_features = trained(data, tmp_path / "features", "expectation", **near, embeddings=[f"switch={switch}"])
    by_pixels = trained(data, tmp_path / "pixels", "expectation", regularisers={"sample_similarity": 5.0})
    assert by_features.read_bytes() != by_pixels.read_bytes()
    assert all(row["sample_similarity"] > 0 for row in history(tmp_path / "features"))
    with pytest.raises(MetannError, match="the setting names 'switch', and switch is no file"):
        trained(data, tmp_path / "no", "expectation", **near)


def test_a_trained_mixture_answers_images(run: Path, tmp_path: Path) -> None:
    prepared = read_prepared(run / layout.DATA)
    images = np.array(prepared.images_NCHW)
    for setting, running in (("top_2", 2), ("attentive", 3)):
        model = package.load(run, setting=setting, family="mixture")
        table = read_gate(layout.place(run, f"{layout.MIXTURE}/gate.parquet", setting=setting, seed=0))
        answer = model.answer(images)
        np.testing.assert_allclose(answer.p_NK, table.p_NK, atol=1e-5)
        np.testing.assert_array_equal(answer.macs_N, table.macs)
        assert answer.parts == ("gate", "expert 0", "expert 1", "expert 2")
        assert (answer.ran_NP.sum(axis=1) == 1 + running).all()
        if setting == "top_2":
            np.testing.assert_array_equal(answer.ran_NP[:, 1:], table.gate_NE > 0)
        model.save(tmp_path / f"{setting}.safetensors")
        packed = package.load(tmp_path / f"{setting}.safetensors")
        np.testing.assert_array_equal(packed.answer(images[:50]).p_NK, model.answer(images[:50]).p_NK)
        assert packed.described == model.described
    assert next(layout.found(run, FAMILIES["mixture"].evidence), None), "what shows a finished run of mixtures"
    assert package.load(run).header["setting"] == "top_2", "the run's own choice"
    assert package.load(run, seed=1).header["seed"] == 1


def test_an_expert_that_is_not_asked_does_not_run(run: Path) -> None:
    model = package.load(run, setting="top_2")
    seen = [0, 0, 0]
    for number, network in enumerate(model.mixture.experts.networks):

        def count(_module: object, inputs: tuple[torch.Tensor], number: int = number) -> None:
            seen[number] += len(inputs[0])

        network.register_forward_pre_hook(count)
    answer = model.answer(np.array(read_prepared(run / layout.DATA).images_NCHW[:300]))
    assert seen == answer.ran_NP[:, 1:].sum(axis=0).tolist()
    assert sum(seen) == 2 * 300


def test_what_does_not_belong_together(data: Path, run: Path, tmp_path: Path) -> None:
    weights = layout.place(run, f"{layout.MIXTURE}/weights.safetensors", setting="top_2", seed=0)
    with pytest.raises(MetannError, match="was made for setting 'top_2', but 'attentive' is asked for"):
        export_gate(weights=weights, data=data, output=tmp_path / "x.parquet", setting="attentive")
    switch = digits_networks.switch(
        data, tmp_path / "switch", network=NetworkSection(**NETWORK), training=digits_networks.training(epochs=1)
    )
    with pytest.raises(MetannError, match="holds no mixture but one of kind 'network'"):
        export_gate(weights=switch, data=data, output=tmp_path / "x.parquet")
    with pytest.raises(MetannError, match="unknown setting 'top_3'"):
        package.load(run, family="mixture", setting="top_3")
    with pytest.raises(MetannError, match="unknown seed '7'"):
        package.load(run, family="mixture", seed=7)
    for given, message in [
        ("{", "is not JSON"),
        ("top_9", "unknown preset 'top_9'"),
        ('{"preset": "expectation", "phases": [{"start_from": "gone"}]}', "the setting names 'gone', and gone is no file"),
    ]:
        with pytest.raises(MetannError, match=message):
            train_mixture(setting=given, data=data, seed=0, output=tmp_path / "no")
    other = {"preset": "expectation", "name": "more", "experts": {"number": 4}, "phases": [{"start_from": str(weights)}]}
    with pytest.raises(MetannError, match="3 experts cannot become 4"):
        trained(data, tmp_path / "no", other)


@pytest.mark.slow
def test_by_hand(data: Path, run: Path, tmp_path: Path) -> None:
    common = ["--data", data, "--seed", 0, "--output", tmp_path / "hand"]
    metann("train-mixture", f"--setting={text('top_2', training={'epochs': 1})}", *common)
    phase = {"train": ["gate"], "start_from": "top_2_importance_0.2"}
    weights = layout.place(run, f"{layout.MIXTURE}/weights.safetensors", setting="top_2", seed=0)
    taken = text({"preset": "expectation", "name": "taken", "phases": [phase], "training": {"epochs": 1}})
    metann("train-mixture", f"--setting={taken}", f"--sources=top_2_importance_0.2={weights}", *common[:-1], tmp_path / "taken")
    metann("export-gate", "--weights", tmp_path / "hand/weights.safetensors", "--data", data, "--output", tmp_path / "gate.parquet")
    metann("pack", run, "--output", tmp_path / "model.safetensors", "--setting", "attentive")
    failed = metann("train-mixture", "--setting=top_9", *common, check=False)
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1
