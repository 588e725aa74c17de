"""The section `mixture`: presets by one word, sweeps as lists, controls, and one line for what cannot be."""

import json

import pytest

from metann.config.mixture import MixtureSection
from metann.config.mixture_presets import PRESETS
from metann.config.mixture_setting import SettingSection, expand, merged
from metann.config.run import Config
from metann.config.section import read_section
from metann.errors import MetannError

# Section 1 of the specification: number -> words that reach it.
VARIANTS = {
    1: ("expectation", "expectation_double_softmax"),
    2: ("stochastic",),
    3: ("pre_softmax",),
    4: ("top_2",),
    5: ("top_1", "top_1_jacobs"),
    6: ("attentive", "attentive_stochastic", "attentive_top_1", "attentive_top_2"),
    7: ("loss_gate",),
    8: ("no_gate_loss",),
    9: ("no_gate_entropy",),
    10: ("dual_temperature",),
    11: ("hard_em",),
    12: ("augmented",),
    14: ("single",),
}
SCHEMES = ("distilled", "from_no_gate", "frozen_gate", "frozen_gate_fresh", "prechosen", "prechosen_fresh")


def section(*settings: object, **keys: object) -> MixtureSection:
    return read_section(MixtureSection, {"settings": list(settings) or ["expectation"], **keys}, "mixture")


def test_every_published_variant_is_a_word() -> None:
    assert {word for words in VARIANTS.values() for word in words} | set(SCHEMES) == set(PRESETS)
    read = section(*PRESETS)
    assert [setting.name for setting in read.settings] == list(PRESETS)
    assert all(setting.preset == setting.name for setting in read.settings)


def test_a_sweep_is_a_list() -> None:
    read = section(
        "top_2",
        "top_2 + importance(0.2)",
        "top_2+importance(0.4) + z(1e-3)",
        {"preset": "top_2", "name": "slow", "training": {"epochs": 99}},
    )
    assert [s.name for s in read.settings] == ["top_2", "top_2_importance_0.2", "top_2_importance_0.4_z_0.001", "slow"]
    assert [s.regularisers for s in read.settings] == [{}, {"importance": 0.2}, {"importance": 0.4, "z": 0.001}, {}]
    assert read.settings[3].training.epochs == 99
    assert {s.route.eval for s in read.settings} == {"top_k(2)"}


def test_common_keys_stand_below_presets_and_own_keys_above() -> None:
    read = section(
        "attentive",
        {"preset": "attentive", "name": "other", "gate": {"architecture": "conv_4_gate"}, "experts": {"number": 3}},
        experts={"architecture": "small_cnn", "settings": {"width": 4}, "number": 7},
        gate={"architecture": "small_cnn", "settings": {"width": 8}},
        training={"learning_rate": 0.5},
    )
    plain, other = read.settings
    assert (plain.experts.number, plain.gate.kind, plain.gate.settings, plain.training.learning_rate) == (7, "attention", {"width": 8}, 0.5)
    assert (other.experts.number, other.experts.settings, other.gate.architecture) == (3, {"width": 4}, "conv_4_gate")
    assert other.gate.settings == {}, "settings of another architecture are not taken over"


def test_a_setting_is_the_same_when_it_is_spelled_out() -> None:
    """As the workflow hands it to a job."""
    for setting in section(*PRESETS, "top_2 + importance(0.2)").trained():
        again = SettingSection.model_validate(expand(json.loads(json.dumps(setting.model_dump(mode="json"))), {}))
        assert again == setting


def test_one_weight_decay_for_all() -> None:
    read = section(*PRESETS, training={"weight_decay": 1e-3})
    assert {setting.training.weight_decay for setting in read.trained()} == {1e-3}


def test_phases() -> None:
    read = section("distilled + importance(0.2)", "from_no_gate", "prechosen", training={"epochs": 10})
    distilled, no_gate, prechosen = read.settings
    assert [distilled.phase(i).gate.kind for i in range(2)] == ["attention", "mlp"]
    assert [distilled.phase(i).regularisers for i in range(2)] == [{"importance": 0.2}, {}], "the plain gate is distilled without one"
    assert [no_gate.epochs(i) for i in range(3)] == [2, 5, 5]
    assert [no_gate.phase(i).gate.kind for i in range(3)] == ["oracle_loss", "mlp", "mlp"]
    assert prechosen.experts.sets_of(10) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert prechosen.phases[2].experts == "initial"
    assert prechosen.last.gate.kind == "mlp"


def test_controls_are_settings_of_one_expert() -> None:
    read = section("expectation", "top_2", experts={"number": 4}, gate={"architecture": "mnist_gate"}, training={"epochs": 3})
    controls = {setting.name: setting for setting in read.trained()[2:]}
    assert set(controls) == {"one_expert", "gate_alone", "same_parameters", "same_active_macs"}
    assert {(c.experts.number, c.gate.kind, c.training.epochs) for c in controls.values()} == {(1, "uniform", 3)}
    assert controls["gate_alone"].experts.architecture == "mnist_gate"
    assert controls["same_active_macs"].match.count == "active_macs"
    assert controls["same_active_macs"].match.of.name == "top_2", "the first whose routing leaves experts out"
    assert section("expectation", "top_2", same_as="expectation").trained()[-1].match.of.name == "expectation"
    slower = section("top_2", training={"epochs": 9}).trained()[-1].match
    assert slower == section("top_2").trained()[-1].match, "what is counted does not depend on how it is trained"


def test_merging() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}, "d": None}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("expectations", "unknown preset 'expectations'; known: attentive, "),
        ({"preset": "expectation", "gate": {"kind": "linear"}}, "unknown gate 'linear'; known: attention, class_sets, "),
        ({"preset": "expectation", "route": {"train": "top2"}}, "unknown routing 'top2'; known: argmax, em, sample, soft, top_k(k)"),
        ({"preset": "expectation", "route": {"eval": "em"}}, "routing 'em' looks at the true class"),
        ({"preset": "expectation", "regularisers": {"imp": 1}}, "unknown regulariser 'imp'; known: entropy, importance, load, "),
        ("top_2 + imp(1)", "unknown regulariser 'imp(1)'; known: entropy(weight), "),
        ("top_2 + importance", "takes (weight)"),
        ({"preset": "expectation", "route": {"train": "top_k(9)"}}, "asks 9 experts of 5; give k <= 5"),
        ({"preset": "expectation", "route": {"train": "top_k(0)"}}, "k must be a whole number >= 1"),
        ({"preset": "expectation", "combine": "selected"}, "answers by one expert, route.train 'soft' asks 5"),
        ({"preset": "expectation", "combine": "median"}, "unknown combination 'median'; known: logit_mean, prob_mean, "),
        ({"preset": "expectation", "loss": "mse"}, "unknown loss 'mse'; known: jacobs(alpha), nll_mix, nll_selected"),
        ({"preset": "expectation", "loss": "nll_selected"}, "loss 'nll_selected' is of one expert"),
        ({"preset": "expectation", "noise": "pink"}, "unknown noise 'pink'; known: gaussian(deviation), "),
        ({"preset": "expectation", "temperature": {"gate": "0"}}, "not above 0"),
        ({"preset": "expectation", "temperature": {"gate": "decay(1)"}}, "takes (start, rate, epoch, floor)"),
        (
            {"preset": "attentive", "experts": {"number": 2, "each": [{"width": 1.0}, {"width": 2.0}]}},
            "compares the features of experts, which need one width",
        ),
        ({"preset": "expectation", "experts": {"each": [{"width": 1.0}]}}, "1 settings in `each` for 5 experts"),
        ({"preset": "attentive", "compute": "sparse"}, "'sparse' saves nothing where gate 'attention'"),
        ({"preset": "expectation", "compute": "vmap", "experts": {"number": 2, "each": [{}, {"width": 2.0}]}}, "must be built alike"),
        ("top_2 + load(0.1)", "'load' counts on noise"),
        ({"preset": "pre_softmax", "final_softmax": True}, "has none to repeat"),
        ({"preset": "loss_gate", "route": {"eval": "soft"}}, "names the expert of the best answer"),
        ({"preset": "expectation", "gate": {"kind": "class_sets"}}, "needs experts.class_sets"),
        ({"preset": "prechosen", "experts": {"class_sets": [[0], [1]]}}, "2 class sets for 5 experts"),
        ({"preset": "expectation", "experts": {"architecture": "vgg0"}}, "unknown architecture 'vgg0'"),
        (
            {"preset": "expectation", "phases": [{"start_from": "nowhere"}]},
            "unknown run (a phase of expectation starts from it) 'nowhere'; known: ",
        ),
        ({"preset": "expectation", "phases": [{"start_from": "expectation"}]}, "let it start from another one"),
        ({"preset": "expectation", "phases": [{"change": {"routes": {}}}]}, "routes"),
        ({"preset": "no_gate_entropy", "phases": [{"train": ["gate"]}]}, "has nothing to train"),
        ({"preset": "distilled", "training": {"early_stop": 3}}, "would end the first"),
        ({"preset": "expectation", "epochs": 3}, "unknown key 'mixture.settings.0.epochs'; known: combine, "),
        (3, "neither a preset nor keys"),
    ],
)
def test_one_line_for_what_cannot_be(given: object, text: str) -> None:
    with pytest.raises(MetannError) as error:
        section(given)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_what_other_sections_decide() -> None:
    for sets, text in [
        ([[0, 1], [2, 3], [4, 5], [6, 7], [8]], "class 9 is in no class set"),
        ([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9, 10]], "class 10 of the class sets is not in 0 .. 9"),
        ([[0, 1, 2, 3], [], [4, 5], [6, 7], [8, 9]], "expert 1 has no classes"),
    ]:
        with pytest.raises(MetannError, match=text):
            section({"preset": "prechosen", "experts": {"class_sets": sets}}).check(10, [])
    section("prechosen").check(10, [])
    with pytest.raises(MetannError, match="too many for 3 classes"):
        section("prechosen").check(3, [])
    near = {"preset": "expectation", "regularisers": {"sample_similarity": 1}, "similarity": {"space": "switch"}}
    section(near).check(10, ["switch"])
    with pytest.raises(MetannError, match=r"unknown network \(similarity.space of expectation\) 'switch'"):
        section(near).check(10, ["other"])


def test_a_sweep_without_any_mixture() -> None:
    """Nothing to compare: said before the training, not after it."""
    oracle = {"preset": "expectation", "name": "oracle", "gate": {"kind": "oracle_loss"}}
    for given in (["single"], ["single", oracle], [oracle]):
        with pytest.raises(MetannError, match="none has more than one expert and a gate that needs no label"):
            section(*given)
    section("single", "expectation")


def test_two_settings_of_one_name() -> None:
    with pytest.raises(MetannError, match="two settings are called 'top_2'"):
        section("top_2", {"preset": "top_2", "loss": "jacobs(0.5)"})
    with pytest.raises(MetannError, match="'one_expert'"):
        section({"preset": "single", "name": "one_expert"})


def test_a_run_with_mixtures() -> None:
    run = read_section(Config, {"networks": {}, "mixture": {"settings": ["top_2"]}})
    assert run.families == ("mixture",)
    assert set(run.all_figures) == {*run.mixture.figures, *run.figures}
    with pytest.raises(MetannError, match="figure of mixture"):
        read_section(Config, {"mixture": {"figures": ["mixture_pie"]}})
