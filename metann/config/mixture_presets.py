"""Every published mixture by one word: what it changes in the defaults of a setting (specs: section 1, its numbers in brackets).

A preset may name another one as its own `preset`, whose keys stand below its own.
"""

from typing import Any

_TOP_1 = {"route": {"train": "top_k(1)", "eval": "top_k(1)", "renormalise": False}, "combine": "selected_scaled"}
_TOP_2 = {"route": {"train": "top_k(2)", "eval": "top_k(2)"}}
_STOCHASTIC = {"route": {"train": "soft", "eval": "argmax"}, "loss": "jacobs(0.5)"}
_ATTENTION = {"gate": {"kind": "attention"}}
_WINNER = {"gate": {"kind": "oracle_loss"}, "route": {"train": "argmax", "eval": "argmax"}, "loss": "nll_selected"}
_EXPERTS_FROZEN = {"train": ["gate"]}

PRESETS: dict[str, dict[str, Any]] = {
    # (1) the gate's mean of the experts' probabilities
    "expectation": {},
    # (1) as released late in 2022: a second softmax over probabilities, whose cross entropy cannot fall below ln((e + K - 1) / e)
    "expectation_double_softmax": {"final_softmax": True},
    # (2) trained softly on the experts' own losses, answered by one expert
    "stochastic": _STOCHASTIC,
    # (3) the mean of logits instead of probabilities
    "pre_softmax": {"combine": "logit_mean"},
    # (4), (5)
    "top_2": _TOP_2,
    "top_1": _TOP_1,
    "top_1_jacobs": {**_TOP_1, "loss": "jacobs(0.5)"},
    # (6) the gate compares its own features with every expert's
    "attentive": _ATTENTION,
    "attentive_stochastic": {**_STOCHASTIC, **_ATTENTION},
    "attentive_top_1": {**_TOP_1, **_ATTENTION},
    "attentive_top_2": {**_TOP_2, **_ATTENTION},
    # (7) the gate learns every expert's log-likelihood, the expert of the largest learns the image
    "loss_gate": {"gate": {"kind": "loss_regression"}, "route": {"train": "argmax", "eval": "argmax"}, "loss": "nll_selected"},
    # (8), (9) allocation without a gate; (8) looks at the label and answers for nobody else
    "no_gate_loss": {**_WINNER, "noise": "gaussian(1)"},
    "no_gate_entropy": {
        "gate": {"kind": "oracle_entropy"},
        "temperature": {"gate": "blocks(10, 1, 0.01, 0.001)"},
        "route": {"train": "soft", "eval": "argmax"},
        "loss": "jacobs(0.5)",
    },
    # (10) the experts learn at one temperature of the gate, the gate at another
    "dual_temperature": {"temperature": {"gate": "1", "experts": "decay(2, 0.01, 1, 0.001)"}},
    # (11) every image to the expert that is most probably the right one
    "hard_em": {"route": {"train": "em", "eval": "argmax", "renormalise": False}, "combine": "selected_scaled"},
    # (12) the gate sees the image and all answers
    "augmented": {"gate": {"augmented": True}},
    # (14) one expert, no gate
    "single": {"experts": {"number": 1}, "gate": {"kind": "uniform"}},
    # Schemes (specs: section 6). 6.2: an attentive gate, then a plain one over its frozen experts
    "distilled": {
        "phases": [
            {"change": {"gate": {"kind": "attention"}}},
            {**_EXPERTS_FROZEN, "gate_weights": "trunk", "change": {"regularisers": None}},
        ],
    },
    # 6.3: experts divide the images by their own losses, then a gate learns that division, then all of it
    "from_no_gate": {
        "phases": [
            {
                "share": 0.2,
                "train": ["experts"],
                "change": {**_WINNER, "noise": "gaussian(1)", "combine": "prob_mean", "regularisers": None},
            },
            {"share": 0.5, "train": ["gate"], "gate_weights": "fresh"},
            {"share": 0.5},
        ],
    },
    # 6.4: does a division that was learned help experts that begin again with it?
    "frozen_gate": {"phases": [{}, {"train": ["experts"], "experts": "initial"}]},
    "frozen_gate_fresh": {"phases": [{}, {"train": ["experts"], "experts": "fresh"}]},
    "prechosen": {
        "experts": {"class_sets": "even"},
        "phases": [
            {"train": ["experts"], "change": {**_WINNER, "gate": {"kind": "class_sets"}, "combine": "prob_mean", "regularisers": None}},
            {"share": 0.5, "train": ["gate"]},
            {"train": ["experts"], "experts": "initial"},
        ],
    },
}
PRESETS["prechosen_fresh"] = PRESETS["prechosen"] | {
    "phases": [*PRESETS["prechosen"]["phases"][:2], {"train": ["experts"], "experts": "fresh"}]
}
