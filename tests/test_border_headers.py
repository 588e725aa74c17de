"""Headers of every kind of file that a run writes and reads back: typed, sealed by the content, and one line when they are hostile."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import hypernetwork_synthetic
import pyarrow.parquet as pq
import pytest
from hostile import changes, header_of, one_line_or_nothing, rewrite
from safetensors.torch import load_file, save_file

from metann import load
from metann.cascade.inputs import read_cascade, read_report
from metann.config.cascade import CascadeChoice
from metann.data.prepared import read_info, read_prepared
from metann.errors import MetannError
from metann.files.headers import Description, read_sealed_json
from metann.hypernetwork.model import load_generator
from metann.mnn.expert_sets import SetHeader
from metann.model import FAMILIES as MODELS
from metann.registry import FAMILIES
from metann.stages.choose_cascade import choose_cascade
from metann.stages.collect_hypernetwork import collect_hypernetwork
from metann.stages.collect_mnn import collect_mnn
from metann.stages.collect_run import collect_run
from metann.stages.evaluate_hypernetwork import evaluate_hypernetwork
from metann.stages.evaluate_mixture import evaluate_mixture
from metann.stages.replay_memory import replay_memory
from metann.stages.write_page import write_page
from metann.tables.headers import KINDS
from metann.tables.headers import header_of as table_header
from metann.tables.sealed import _open, read_sealed, seal
from metann.training.history import Length
from metann.weights.headers import KINDS as WEIGHT_KINDS

pytestmark = pytest.mark.bad_input

MODEL_FILES = ("network", "mnn", "cascade", "mixture", "generator", "classifier")
QUICK = [None, 10**30, "abc", [None], {"a": None}, hostile.deep()]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return hostile.weights(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.tables(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def by_kind(made: Path) -> dict[str, Path]:
    """One table of each kind."""
    return {header_of(path)["kind"]: path for path in sorted(made.rglob("*.parquet"))}


def read_model(kind: str, path: Path) -> object:
    return load_generator(path) if kind == "generator" else load(path).described


# --- weights --------------------------------------------------------------------------------------------------------


def test_every_kind_of_model_has_a_file_here() -> None:
    assert len(MODEL_FILES) == len(WEIGHT_KINDS) + 1  # plain networks have no kind
    assert set(MODELS) == set(FAMILIES)


@pytest.mark.parametrize("kind", MODEL_FILES)
def test_headers_of_models(models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Each key gone, null, of another type, huge or deep: a model, or one line; and what the model is built from is always refused."""
    path = shutil.copy(models[kind], tmp_path / "w.safetensors")
    read_model(kind, path)
    header, refused = header_of(path), set()
    for what, changed in changes(header, QUICK, kept=()):
        rewrite(path, changed)
        if one_line_or_nothing(lambda: read_model(kind, path), f"{kind}: {what}"):
            refused.add(what)
    for key in ("num_classes", "channels", "image_size", "mean", "std"):
        if key in header:
            assert {f"{key} = abc", f"{key} = [None]", f"{key} = {str(10**30)[:20]}"} <= refused, key


@pytest.mark.parametrize("kind", MODEL_FILES)
def test_models_that_were_changed(models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Weights or header edited by hand, the seal as it was."""
    raw = models[kind].read_bytes()
    size = int.from_bytes(raw[:8], "little")
    path = tmp_path / "w.safetensors"
    turned = bytearray(raw)
    turned[-1] ^= 1
    path.write_bytes(turned)
    with pytest.raises(MetannError, match="was changed after metann wrote it"):
        read_model(kind, path)
    described = json.loads(raw[8 : 8 + size])["__metadata__"]["metann"]
    state = load_file(models[kind])
    save_file(
        state, path, metadata={"metann": described.replace('"seed": 0', '"seed": 1').replace('"score": "entropy"', '"score": "margin"')}
    )
    with pytest.raises(MetannError, match="was changed after metann wrote it"):
        read_model(kind, path)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("network", {"settings": {"width": 100_000, "depth": 2}}),
        ("network", {"settings": {"width": 10**9, "depth": 2}}),
        ("network", {"settings": {"width": 4, "depth": 10**9}}),
        ("network", {"architecture": "vgg11_bn", "settings": {}, "num_classes": 999_999, "class_names": None}),
        ("mnn", {"settings": {"width": 50_000, "depth": 2}}),
        ("classifier", {"settings": {"width": 30_000}}),
        ("generator", {"z_size": 10**6, "generator_settings": {"hidden": 10**6}}),
        ("generator", {"classifier": "small", "settings": {"width": 20_000}}),
    ],
)
def test_headers_that_claim_much(models: dict[str, Path], tmp_path: Path, kind: str, change: dict[str, Any]) -> None:
    """No memory is taken that the file's own numbers could not fill."""
    path = shutil.copy(models[kind], tmp_path / "w.safetensors")
    rewrite(path, header_of(path) | change)
    with pytest.raises(MetannError) as caught:
        read_model(kind, path)
    assert "\n" not in str(caught.value)


def test_a_mixture_that_claims_many_experts(models: dict[str, Path], tmp_path: Path) -> None:
    path = shutil.copy(models["mixture"], tmp_path / "w.safetensors")
    header = header_of(path)
    header["options"]["experts"] |= {"number": 50_000, "settings": {"width": 2000, "depth": 2}}
    rewrite(path, header | {"experts": 50_000, "expert_macs": [1] * 50_000})
    with pytest.raises(MetannError, match="more numbers than the file holds"):
        load(path)


def test_a_member_of_a_packed_cascade(models: dict[str, Path], tmp_path: Path) -> None:
    path = shutil.copy(models["cascade"], tmp_path / "w.safetensors")
    header = header_of(path)
    for what, member in changes(header["networks"][1], QUICK, kept=()):
        rewrite(path, header | {"networks": [header["networks"][0], member]})
        one_line_or_nothing(lambda: load(path).described, what)
    rewrite(path, header | {"networks": header["networks"][:1]})
    with pytest.raises(MetannError):
        load(path)


# --- tables ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_table_is_here(by_kind: dict[str, Path]) -> None:
    assert set(KINDS) - {"cascade_record"} <= set(by_kind)
    assert {f"{family}_settings" for family in FAMILIES} <= set(by_kind)
    assert len(by_kind) > 50


def test_headers_of_all_tables(by_kind: dict[str, Path]) -> None:
    """As of models; without writing the files, of which there are fifty kinds, each with one of a dozen headers."""
    for kind, path in {table_header(kind): (kind, path) for kind, path in by_kind.items()}.values():
        arrow, header = pq.read_table(path, partitioning=None).slice(0, 2), header_of(path)
        for what, changed in changes(header, QUICK):
            sealed = seal(arrow, changed)
            one_line_or_nothing(lambda path=path, sealed=sealed, kind=kind: _open(path, sealed, kind, 1), f"{kind}: {what}")
        typed = table_header(kind).model_fields
        for key in (name for name in header if name in typed and name not in ("kind",)):
            with pytest.raises(MetannError, match=f"says {key}"):
                _open(path, seal(arrow, header | {key: [[None]]}), kind, 1)
        for key in (name for name, field in typed.items() if field.is_required() and name != "kind"):
            with pytest.raises(MetannError, match=f"lacks '{key}'"):
                _open(path, seal(arrow, {name: value for name, value in header.items() if name != key}), kind, 1)


def test_tables_that_were_changed(by_kind: dict[str, Path], tmp_path: Path) -> None:
    """Of each kind: another header, or another value, under the old seal."""
    for kind, path in by_kind.items():
        arrow = pq.read_table(path, partitioning=None)
        raw = json.loads(arrow.schema.metadata[b"metann"])
        for metadata, content in (
            (raw | {"dataset": "another"}, arrow),
            (raw, arrow.slice(1) if len(arrow) else arrow.append_column("x", [[]])),
        ):
            pq.write_table(content.replace_schema_metadata({b"metann": json.dumps(metadata).encode()}), tmp_path / "t.parquet")
            with pytest.raises(MetannError, match="was changed after metann wrote it"):
                read_sealed(tmp_path / "t.parquet", kind, 1)


# --- JSON -----------------------------------------------------------------------------------------------------------

JSON: dict[str, tuple[str, Callable[[Path], object]]] = {
    "an expert's set": ("mnn/mnn/seed_0/dataset_threshold_0.10/class_0/expert_set.json", lambda path: read_sealed_json(path, SetHeader)),
    "a chosen cascade": ("cascade/cascade/seed_0/cascade.json", read_cascade),
    "a cascade's report": ("cascade/report.json", read_report),
    "prepared data": ("data/dataset.json", lambda path: read_info(path.parent)),
    "the length of trainings": ("training.json", lambda path: read_sealed_json(path, Length)),
}


@pytest.mark.parametrize("name", JSON)
def test_headers_in_json(made: Path, tmp_path: Path, name: str) -> None:
    place, read = JSON[name]
    path = shutil.copy(made / place, tmp_path / Path(place).name)
    read(path)
    header = header_of(path)
    refused = 0
    for what, changed in changes(header, QUICK, kept=()):
        rewrite(path, changed)
        refused += one_line_or_nothing(lambda: read(path), f"{name}: {what}")
    assert refused > 2 * len(header)
    raw = json.loads((made / place).read_text())
    path.write_text(json.dumps(raw | {next(iter(header)): 77}))
    with pytest.raises(MetannError, match="was changed after metann wrote it"):
        read(path)
    for text in ("null", "5", "[]", '{"content": null}', "{", '"x"', "[" * 100_000, '{"a":' * 100_000):
        path.write_text(text)
        with pytest.raises(MetannError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_mean_and_std_of_prepared_data_are_sealed(made: Path, tmp_path: Path) -> None:
    """Networks would be trained on other numbers than the results say."""
    data = shutil.copytree(made / "data", tmp_path / "data")
    info = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(info | {"std": [0.5]}))
    with pytest.raises(MetannError, match=r"dataset\.json was changed after metann wrote it; delete the folder and run prepare-data"):
        read_prepared(data)


# --- by the stages --------------------------------------------------------------------------------------------------

EVALUATION = "mnn/mnn/seed_0/dataset_threshold_0.10/evaluation"
GENERATOR = "hypernetwork/hypernetwork/seed_0/E2b_mlp"


def stage(name: str, made: Path, out: Path) -> object:
    """A stage of a run that is made up."""
    run = made / name.split()[0]
    networks = sorted(run.glob("networks/*/*/probabilities.parquet"))
    home = run / "mixture/seed_0/soft"
    calls: dict[str, Callable[[], object]] = {
        "mnn collect": lambda: collect_mnn(evaluations=[made / EVALUATION], output=out, expert_sets=[run / "mnn"]),
        "mnn run": lambda: collect_run(run=run, families=["mnn"], networks=networks),
        "mnn page": lambda: write_page(run=run, families=["mnn"]),
        "cascade choose": lambda: choose_cascade(searches=[run / "cascade/seed_0"], output=out, options=CascadeChoice()),
        "cascade replay": lambda: replay_memory(
            cascade=run / "cascade/seed_0/cascade.json", probabilities=networks, output=out / "m.parquet", seed=0
        ),
        "mixture evaluate": lambda: evaluate_mixture(
            gate=home / "gate.parquet", history=home / "training.csv", data=run / "data", output=out
        ),
        "hypernetwork evaluate": lambda: evaluate_hypernetwork(
            generator=made / GENERATOR, adapted=hypernetwork_synthetic.adapted(made / GENERATOR), output=out
        ),
        "hypernetwork collect": lambda: collect_hypernetwork(evaluations=sorted(run.rglob("evaluation")), output=out),
    }
    return calls[name]()


STAGES = [
    ("mnn collect", f"{EVALUATION}/prefix.parquet", {"class_names": ["a"]}),
    ("mnn collect", f"{EVALUATION}/prefix.parquet", {"switch_functions": ["top_q(2)"]}),
    ("mnn collect", f"{EVALUATION}/prefix.parquet", {"switch_functions": None}),
    ("mnn collect", f"{EVALUATION}/cells/all.parquet", {"seed": None}),
    ("mnn run", "mnn/tables/mnn_settings.parquet", {"class_names": None}),
    ("mnn run", "mnn/networks/switch/seed_0/probabilities.parquet", {"notices": "abc"}),
    ("mnn page", "mnn/results.parquet", {"confidence": "abc"}),
    ("mnn page", "mnn/results.parquet", {"notices": [None]}),
    ("cascade choose", "cascade/cascade/seed_0/results.parquet", {"target": {"a": 1}}),
    ("cascade choose", "cascade/cascade/seed_0/results.parquet", {"seed": 10**30, "temperatures": ["x"]}),
    ("cascade replay", "cascade/cascade/seed_0/cascade.json", {"thresholds": [float(10**300)] * 9}),
    ("mixture evaluate", "mixture/mixture/seed_0/soft/gate.parquet", {"options": {"gate": 5}}),
    ("mixture evaluate", "mixture/mixture/seed_0/soft/gate.parquet", {"class_sets": [["x"]]}),
    ("mixture evaluate", "mixture/mixture/seed_0/soft/gate.parquet", {"setting": None, "seed": None}),
    ("hypernetwork evaluate", f"{GENERATOR}/tasks.parquet", {"class_names": 5}),
    ("hypernetwork evaluate", f"{GENERATOR}/codes.parquet", {"generator_digest": ["x"]}),
    ("hypernetwork collect", f"{GENERATOR}/evaluation/results.parquet", {"confidence": 2}),
    ("hypernetwork collect", f"{GENERATOR}/evaluation/results.parquet", {"experiment": None}),
]


@pytest.mark.parametrize(("name", "place", "change"), STAGES, ids=[f"{case[0]} {next(iter(case[2]))} {i}" for i, case in enumerate(STAGES)])
def test_stages_say_one_line(made: Path, tmp_path: Path, name: str, place: str, change: dict[str, Any]) -> None:
    path = made / place
    raw = path.read_bytes()
    header = {key: value for key, value in (header_of(path) | change).items() if value is not None}  # None takes a key away
    try:
        rewrite(path, header)
        with pytest.raises(MetannError) as caught:
            stage(name, made, tmp_path)
    finally:
        path.write_bytes(raw)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value) or "top_q" in str(caught.value)


def test_a_description_that_is_asked_for_what_it_lacks() -> None:
    said = Description.of({"a": 1}, "x.parquet", "make it again")
    assert said["a"] == 1
    assert said.get("b") is None
    for other in (said | {"c": 2}, {"c": 2} | said):
        assert other["c"] == 2
        with pytest.raises(MetannError, match=r"the header of x\.parquet lacks 'b'; make it again"):
            other["b"]
