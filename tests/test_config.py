"""The configuration: defaults, flags and every way to get it wrong."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import read_preset

from metann.config.data import DataSection
from metann.config.mnn import ExpertSection, MnnEvaluation, MnnSection
from metann.config.network import NetworkSection
from metann.config.run import Config
from metann.config.section import flags, read_section
from metann.config.training import TrainingSection
from metann.errors import MetannError
from metann.function_call import SwitchFunction

ROOT = Path(__file__).parent.parent


def _default(match: re.Match) -> str:
    return f": {match[1] or match[3]}"


def test_config_yaml_spells_out_the_defaults() -> None:
    """Every key, with its default; where the demo has another value, the comment names the default."""
    text = (ROOT / "config.yaml").read_text()
    written = yaml.safe_load(text)
    read_section(Config, written)
    found = [re.sub(r": [^#]+#.*; default: ([^,;]+?)(,.*)?$|: [^#]+# default: (.+)$", _default, line) for line in text.splitlines()]
    assert sum(line != before for line, before in zip(found, text.splitlines(), strict=True)) == 13
    stated = yaml.safe_load("\n".join(found))
    assert read_section(Config, {key: value for key, value in stated.items() if key != "networks"}) == Config(mnn=MnnSection())
    spelled, default = written, Config(mnn=MnnSection()).model_dump(mode="json")
    for section in ("training", "mnn", "statistics"):
        assert set(spelled[section]) == set(default[section]), section
    assert set(spelled["data"]) == set(DataSection().model_dump())
    assert set(spelled["mnn"]["expert"]) == set(default["mnn"]["expert"])
    assert set(spelled) == {key for key, value in default.items() if value is not None}


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_are_valid_and_named_after_their_file(path: Path) -> None:
    assert read_section(Config, read_preset(path)).run == path.stem


def test_the_papers_grid() -> None:
    run = read_section(Config, yaml.safe_load((ROOT / "presets/paper.yaml").read_text()))
    assert len(run.mnn.dataset_thresholds) * len(run.mnn.test_thresholds) == 231


@pytest.mark.parametrize(
    "section",
    [
        TrainingSection(epochs=3, flip=False, learning_rate=1e-5, weight_decay=0),
        ExpertSection(start="scratch", ema=0.99),
        DataSection(name="digits", root=Path("a folder; touch x"), download=False),
        NetworkSection(architecture="small_cnn", settings={"width": 8, "depth": 2}),
        NetworkSection(probabilities=Path("it's $(here).npy"), labels=Path("l.npy"), val_rows=5),
        MnnEvaluation(test_thresholds=[]),  # which are not the default
        MnnEvaluation(switch_functions=[]),
    ],
    ids=lambda section: type(section).__name__,
)
def test_flags_give_the_section_back(section: Any) -> None:
    """Through the real command-line parser, as a stage sees them."""
    from typing import Annotated

    from cyclopts import App, Parameter

    app = App(default_parameter=Parameter(negative_iterable=(), consume_multiple=True), exit_on_error=False, print_error=False)
    kind = type(section)

    @app.default
    def stage(*, x: Annotated[kind, Parameter()]) -> Any:
        return x

    assert app(flags("x", section), result_action="return_value") == section


@pytest.mark.parametrize(
    ("text", "slug", "spelled"),
    [
        ("top_k(2)", "top_k_2", "top_k(2)"),
        (" only_if_unsure( 0.5 ,2 ) ", "only_if_unsure_0.50_2", "only_if_unsure(0.50, 2)"),
        ("none", "none", "none"),
        ("top_p(0.9)", "top_p_0.90", "top_p(0.90)"),
    ],
)
def test_switch_functions_are_read(text: str, slug: str, spelled: str) -> None:
    function = SwitchFunction.parse(text)
    assert (function.slug, str(function)) == (slug, spelled)
    assert SwitchFunction.parse(str(function)) == function


SWITCH = {"architecture": "small_cnn", "settings": {"width": 4, "depth": 2}}
TABLE = {"probabilities": "p.csv"}


def network_of(values: dict[str, Any]) -> dict[str, Any]:
    return {"networks": {"switch": values}}


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown key", {"epochs": 3}, r"unknown key 'epochs'; known: cascade, data, figures"),
    ("misspelt key in a section", {"training": {"epoch": 3}}, r"'training\.epoch' \(did you mean 'epochs'\?\); known: batch_size"),
    (
        "misspelt key in a network",
        {"networks": {"switch": {"archtecture": "small_cnn"}}},
        r"archtecture' \(did you mean 'architecture'\?\)",
    ),
    ("misspelt section", {"trainig": {}}, r"'trainig' \(did you mean 'training'\?\)"),
    ("text for a number", {"training": {"epochs": "many"}}, r"training\.epochs = 'many'"),
    ("zero epochs", {"training": {"epochs": 0}}, "greater than or equal to 1"),
    ("fraction of an epoch", {"training": {"epochs": 1.5}}, r"training\.epochs = 1\.5"),
    ("negative learning rate", {"training": {"learning_rate": -0.1}}, "greater than 0"),
    ("infinite learning rate", {"training": {"learning_rate": float("inf")}}, "finite"),
    ("list for a section", {"training": [1]}, "training"),
    ("momentum of one", {"training": {"momentum": 1}}, "less than 1"),
    ("unknown schedule", {"training": {"schedule": "cyclic"}}, "one_cycle"),
    ("unknown device", {"mnn": {"expert": {"device": "tpu"}}}, "cpu"),
    ("empty run name", {"run": ""}, "run = ''"),
    ("run is a path", {"run": "../elsewhere"}, "run"),
    ("run is hidden", {"run": ".git"}, "run"),
    ("run with a shell command", {"run": "x; rm -rf y"}, "run"),
    ("run is absolute", {"run": "/tmp/x"}, "run"),
    ("threshold above one", {"mnn": {"test_thresholds": [1.2]}}, r"mnn\.test_thresholds: threshold 1\.2 is not a number in \[0, 1\]"),
    ("negative threshold", {"mnn": {"dataset_thresholds": [-0.1]}}, r"\[0, 1\]"),
    ("threshold in words", {"mnn": {"dataset_thresholds": ["low"]}}, "'low'"),
    ("broken range", {"mnn": {"test_thresholds": "0..1"}}, "step"),
    ("unknown dataset", {"data": {"name": "cifar11"}}, r"unknown dataset 'cifar11'; known: .*digits.*; add one in metann/datasets/"),
    ("unknown architecture", {"networks": {"switch": {"architecture": "resnet21"}}}, "unknown architecture 'resnet21'"),
    (
        "unknown setting",
        {"networks": {"switch": {"architecture": "small_cnn", "settings": {"widht": 3}}}},
        r"unknown setting 'widht' of small_cnn \(did you mean 'width'\?\); known: depth, width",
    ),
    ("unknown switch function", {"mnn": {"switch_functions": ["top_q(3)"]}}, r"unknown switch function 'top_q\(3\)'"),
    ("parameter missing", {"mnn": {"switch_functions": ["top_k"]}}, r"takes \(k\)"),
    ("parameter out of range", {"mnn": {"switch_functions": ["top_p(1.1)"]}}, r"in \[0, 1\]"),
    ("half a class", {"mnn": {"switch_functions": ["top_k(1.5)"]}}, "whole number"),
    ("unknown figure", {"mnn": {"figures": ["heatmp"]}}, "unknown figure of mnn 'heatmp'; known: mnn_cost"),
    ("unknown figure over families", {"figures": ["heatmp"]}, "unknown figure over families 'heatmp'"),
    ("old name of a figure", {"mnn": {"figures": ["heatmap"]}}, "'heatmap' is mnn_heatmap now"),
    ("old place of a figure", {"figures": ["heatmap"]}, r"'heatmap' is mnn_heatmap now; write it into mnn\.figures"),
    (
        "figure of a family without a section",
        {"figures": ["cascade_cost"]},
        r"'cascade_cost' is of cascade; write it into cascade\.figures",
    ),
    ("another family's figure", {"mnn": {"figures": ["cascade_cost"]}}, r"is of cascade; write it into cascade\.figures"),
    ("old place of the experts' training", {"expert": {"epochs": 3}}, r"`expert` is `mnn\.expert` now"),
    ("old place of classes_per_job", {"mnn": {"expert": {"classes_per_job": 3}}}, r"it is `mnn\.classes_per_job` now"),
    ("a family that is null", {"mnn": None}, "a family runs where its section stands"),
    ("another family that is null", {"cascade": None}, "a family runs where its section stands"),
    ("switch that is no network", {"mnn": {"switch": "swich"}}, r"unknown network \(in mnn\.switch\) 'swich'"),
    ("control that is no network", {"mnn": {"controls": ["wider"]}}, "wider"),
    ("repeated seed", {"seeds": [1, 1]}, "repeat"),
    ("no seed", {"seeds": []}, "at least 1"),
    ("negative seed", {"seeds": [-1]}, "greater than or equal to 0"),
    ("network of nothing", {"networks": {"switch": {}, "wide": {"architecture": "small_cnn"}}}, "either 'architecture' or 'probabilities'"),
    ("network of both", {"networks": {"switch": {"architecture": "small_cnn", "probabilities": "a.npy"}}}, "either"),
    ("table without labels", {"networks": {"switch": {"probabilities": "a.npy"}}}, "labels"),
    ("network name is a path", {"networks": {"a/b": {"architecture": "small_cnn"}}}, "a/b"),
    (
        "bad override",
        {"networks": {"switch": {"architecture": "small_cnn", "training": {"epoch": 3}}}, "mnn": {"controls": []}},
        r"networks\.switch\.training\.epoch",
    ),
    (
        "yes for a number of epochs",
        {"training": {"early_stop": True}},
        r"training\.early_stop: True is or holds true or false, .* write a number",
    ),
    ("yes for a rate", {"training": {"learning_rate": True}}, r"training\.learning_rate: True"),
    ("yes for a seed", {"seeds": [0, True]}, r"seeds: \[0, True\] is or holds"),
    ("yes for a tail", {"mnn": {"expert": {"tail": True}}}, r"mnn\.expert\.tail: True"),
    ("yes for a network's epochs", {"networks": {"switch": SWITCH | {"training": {"epochs": True}}}}, r"switch\.training\.epochs: True"),
    ("no for a size", {"mixture": {"experts": {"number": False}}}, r"mixture\.experts\.number: False"),
    ("yes for classes per job", {"mnn": {"classes_per_job": True}}, r"mnn\.classes_per_job: True"),
    ("yes for a weight", {"mixture": {"settings": [{"regularisers": {"importance": True}}]}}, r"regularisers: \{'importance': True\}"),
    (
        "more decimals than a name has",
        {"mnn": {"test_thresholds": [1e-7]}},
        r"mnn\.test_thresholds: threshold 1e-07 would be 0,",
    ),
    (
        "two thresholds that would be one",
        {"mnn": {"dataset_thresholds": [0.1234567, 0.1234568]}},
        "thresholds 0.1234567 and 0.1234568 would both be 0.123457",
    ),
    ("more decimals of a function", {"mnn": {"switch_functions": ["top_p(0.9999999)"]}}, "p = 0.9999999 would be 1,"),
    ("a seed beyond a table", {"seeds": [10**30]}, "less than 9223372036854775808"),
    ("a split beyond a table", {"data": {"split_seed": 10**30}}, r"data\.split_seed = 10+: input should be less than or equal to"),
    ("a stream beyond a table", {"cascade": {"workload": {"seed": 10**30}}}, r"cascade\.workload\.seed = 10+"),
    ("weights beside a table", network_of(TABLE | {"weights": "x.pt"}), r"weights = 'x.pt' is of 'architecture', .* has 'probabilities'"),
    ("settings beside a table", network_of(TABLE | {"settings": {"width": 3}}), "settings = .* is of 'architecture'"),
    ("training beside a table", network_of(TABLE | {"training": {"epochs": 3}}), "training = .* is of 'architecture'"),
    ("labels beside a network", network_of(SWITCH | {"labels": "y.npy"}), "labels = 'y.npy' is of 'probabilities', .* has 'architecture'"),
    ("macs beside a network", network_of(SWITCH | {"macs": 1e6}), "macs = '1000000.0' is of 'probabilities'"),
    (
        "split beside a network",
        network_of(SWITCH | {"split": "val"}),
        "split = 'val' is of 'probabilities', .* by the section 'data'; leave",
    ),
    ("rows beside a network", network_of(SWITCH | {"val_rows": 5}), "val_rows = '5' is of 'probabilities'"),
    ("epochs of weights", network_of(SWITCH | {"weights": "x.pt", "training": {"epochs": 3}}), r"training\.epochs is of networks that are"),
    ("infinite macs", network_of(TABLE | {"macs": float("inf")}), "macs = inf: input should be"),
    ("macs beyond a table", network_of(TABLE | {"macs": 1e30}), r"macs = 1e\+30: input should be less than or equal to"),
    ("infinite budget", {"cascade": {"budget": float("inf")}}, r"cascade\.budget = inf: input should be"),
    ("no depth", network_of(SWITCH | {"settings": {"depth": 0}}), "setting depth = 0 of small_cnn is not above 0"),
    ("depth below zero", network_of(SWITCH | {"settings": {"depth": -1}}), "setting depth = -1 of small_cnn is not above 0"),
    ("no width of experts", {"mixture": {"experts": {"settings": {"width": 0.0}}}}, "setting width = 0.0 of fashion_expert is not above 0"),
    ("no dataset thresholds", {"mnn": {"dataset_thresholds": []}}, r"mnn\.dataset_thresholds = .* at least 1 item"),
    ("nothing to do", {"networks": {}}, "there is nothing to do: no networks, and no section of mnn, cascade"),
    ("a network of a cascade twice", {"cascade": {"networks": ["wide", "wide"]}}, "cascade.networks names 'wide' twice"),
    ("permutations without end", {"statistics": {"permutations": 10**12}}, r"statistics\.permutations = 10+: .* equal to 10000000"),
    ("a grid without end", {"cascade": {"grid": 10**12}}, r"cascade\.grid = 10+: .* equal to 10000000"),
    ("endless phase", {"mixture": {"settings": [{"phases": [{"share": float("inf")}]}]}}, "share = inf: input should be"),
    (
        "endless temperature",
        {"mixture": {"settings": [{"temperature": {"gate": "inf"}}]}},
        "temperature 'inf' is not above 0, or not finite",
    ),
    ("one fold", {"mnn": {"folds": 1}}, "greater than or equal to 2"),
    ("confidence of one", {"statistics": {"confidence": 1}}, "less than 1"),
    ("classes per job of zero", {"mnn": {"classes_per_job": 0}}, "greater than or equal to 1"),
]


def test_keys_of_the_other_kind_that_change_nothing_are_taken() -> None:
    """Flags spell out every default."""
    found = read_section(NetworkSection, SWITCH | {"split": "test", "val_rows": 0, "macs": None, "training": {}})
    assert found == read_section(NetworkSection, SWITCH)
    read_section(NetworkSection, TABLE | {"settings": {}, "training": {}, "mean": (), "macs": 1e18})
    read_section(NetworkSection, SWITCH | {"weights": "x.pt", "training": {"device": "cpu", "threads": 2}})


@pytest.mark.parametrize(("what", "values", "says"), BAD, ids=[case[0] for case in BAD])
def test_bad_values_are_one_line(what: str, values: dict[str, Any], says: str) -> None:
    with pytest.raises(MetannError, match=says) as error:
        read_section(Config, values)
    assert "\n" not in str(error.value), what


@pytest.mark.parametrize(
    ("mnn", "words"),
    [
        ({"second": "other"}, "unknown network \\(in mnn.second\\) 'other'"),
        ({"second": "switch"}, "mnn.second 'switch' is the switch itself"),
        ({"longer": "switch"}, "mnn.longer 'switch' is the switch or the second network"),
        ({"longer": "table"}, "mnn.longer 'table' is not trained here"),
        ({"expert": {"body": "second"}}, "body is 'second', but mnn.second names no network"),
        ({"second": "wide", "expert": {"body": "second"}}, "mnn.second 'wide' is not built like the switch"),
        ({"expert": {"tail": 3}}, "mnn.expert.tail 3: the switch has 2 blocks; give 1 to 2"),
        ({"expert": {"tail": 1}, "probabilities": "out_of_fold"}, "give probabilities: in_sample, or tail: 0"),
        ({"switch": "dense", "expert": {"tail": 1}}, "densenet121 does not name its blocks; known: "),
        ({"expert": {"tail": 1, "sampler": "hard"}}, "sampler: hard is of whole networks"),
        ({"expert": {"body": "second", "start": "scratch"}}, "takes nothing of a second body"),
        ({"unsure": 0}, "mnn.unsure = 0"),
    ],
)
def test_a_second_body_and_tails_need_networks_that_fit(mnn: dict, words: str) -> None:
    networks = {"switch": SWITCH, "wide": SWITCH | {"settings": {"width": 6, "depth": 2}}, "dense": {"architecture": "densenet121"}}
    networks["table"] = {"probabilities": "p.csv"}
    with pytest.raises(MetannError, match=words):
        read_section(Config, {"networks": networks, "mnn": {"controls": []} | mnn})
