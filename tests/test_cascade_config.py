"""The section `cascade` of the configuration: every way to get it wrong, and cascade.json."""

from pathlib import Path
from typing import Any

import pytest
from conftest import read_preset

from metann.cascade.inputs import read_cascade
from metann.config.cascade import CascadeSection, MemorySection, WorkloadSection
from metann.config.run import Config
from metann.config.section import flags, read_section
from metann.errors import MetannError
from metann.files.text import write_json

ROOT = Path(__file__).parent.parent
BAD = [
    ("unknown score", {"scores": ["margn"]}, "unknown score function 'margn'; known: difference, entropy"),
    ("oracle as score", {"scores": ["oracle"]}, "reported as a bound"),
    ("no score", {"scores": []}, "at least 1"),
    ("unknown key", {"thresholds": [1]}, "unknown key 'cascade.thresholds'; known: answers, batch_size"),
    ("unknown network", {"networks": ["switch", "tiny"]}, r"unknown network \(in cascade.networks\) 'tiny'; known: longer, switch, wide"),
    ("unknown pair", {"pairs": [["switch", "tiny"]]}, r"in cascade.pairs\) 'tiny'"),
    ("pair of one", {"pairs": [["switch", "switch"]]}, "cannot be both networks"),
    ("pair of three", {"pairs": [["switch", "wide", "switch"]]}, "cascade.pairs"),
    ("pair outside networks", {"networks": ["switch", "wide"], "pairs": [["switch", "other"]]}, "in cascade.pairs"),
    ("chain outside", {"chains": [{"networks": ["switch", "wide", "tiny"]}]}, r"in cascade.chains\) 'tiny'"),
    (
        "chain of wrong thresholds",
        {"chains": [{"networks": ["switch", "wide"], "thresholds": [0.1, 0.2]}]},
        "need 1 thresholds, 2 were given",
    ),
    ("unknown answer", {"answers": ["sum"]}, "cascade.answers.0"),
    ("answer twice", {"answers": ["product", "product"]}, "give each once"),
    ("two ways to say it", {"answers": ["product"], "postcheck": "with"}, "both say which answers are tried; give one"),
    (
        "chain of two answers",
        {"chains": [{"networks": ["switch", "wide"], "postcheck": True, "answer": "product"}]},
        "answer 'product' puts them together; give one of them",
    ),
    ("one network", {"networks": ["switch"]}, "a cascade needs two networks"),
    ("budget without number", {"objective": "budget"}, "give cascade.budget"),
    ("unknown objective", {"objective": "speed"}, "cascade.objective"),
    ("grid of one", {"grid": 1}, "greater than or equal to 2"),
    ("target above one", {"target": 93}, "cascade.target"),
    ("unknown memory", {"memory": {"key": "phash"}}, "unknown memory key 'phash'; known: dhash, invariants, none"),
    ("empty memory", {"memory": {"capacity": 0}}, "greater than or equal to 1"),
    ("negative duplicates", {"workload": {"duplicates": -1}}, "greater than or equal to 0"),
    ("rotations above one", {"workload": {"rotations": 2}}, "less than or equal to 1"),
    ("batch of none", {"batch_size": 0}, "greater than or equal to 1"),
    ("figure of others", {"figures": ["heatmap"]}, "figure of cascade"),
]


@pytest.mark.parametrize(("what", "values", "says"), BAD, ids=[case[0] for case in BAD])
def test_bad_values_are_one_line(what: str, values: dict[str, Any], says: str) -> None:
    with pytest.raises(MetannError, match=says) as error:
        read_section(Config, {"cascade": values})
    assert "\n" not in str(error.value), what


def test_all_networks_take_part_unless_named() -> None:
    run = read_section(Config, {"cascade": {}})
    assert run.cascade.network_names(list(run.networks)) == ["switch", "longer", "wide"]
    assert CascadeSection(networks=("b", "a")).network_names(["a", "b", "c"]) == ["b", "a"]


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("cascade-*.yaml")), ids=lambda path: path.stem)
def test_presets_have_only_cascades(path: Path) -> None:
    run = read_section(Config, read_preset(path))
    assert run.mnn is None
    assert len(run.cascade.network_names(list(run.networks))) >= 4


@pytest.mark.parametrize(
    "section", [MemorySection(key="dhash", capacity=7), MemorySection(), WorkloadSection(duplicates=1.5, shuffled=False)]
)
def test_flags_give_the_section_back(section: Any) -> None:
    from typing import Annotated

    from cyclopts import App, Parameter

    app = App(default_parameter=Parameter(negative_iterable=(), consume_multiple=True), exit_on_error=False, print_error=False)
    kind = type(section)

    @app.default
    def stage(*, x: Annotated[kind, Parameter()] = section) -> Any:
        return x

    assert app(flags("x", section), result_action="return_value") == section


def test_cascade_json(tmp_path: Path) -> None:
    path = tmp_path / "cascade.json"
    write_json(path, {"networks": ["a", "b"], "thresholds": [1.0000000000000002], "score": "entropy", "postcheck": True})
    assert read_cascade(path).thresholds == (1.0000000000000002,)
    for content, says in [
        ({"networks": ["a", "b"]}, "has no thresholds"),
        ({"networks": ["a", "b"], "thresholds": [1, 2]}, "need 1 thresholds"),
        ({"networks": ["a"], "thresholds": []}, "at least 2"),
        ({"networks": ["a", "b"], "thresholds": [1], "score": "x"}, "unknown score function"),
        ({"nets": []}, "networks"),
    ]:
        write_json(path, content)
        with pytest.raises(MetannError, match=says):
            read_cascade(path)
    with pytest.raises(MetannError, match="no file"):
        read_cascade(tmp_path / "none.json")
