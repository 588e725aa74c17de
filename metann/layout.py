"""Where the files of a run lie: the one place that says it, for rules, loaders and the plan. Nobody else parses a path.

Patterns are relative to the folder of the run, with fields as Snakemake and `str.format` write them: `{seed}`, `{network}`.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from metann.thresholds import format_threshold

DATA = "data"
NETWORK = "networks/{network}/seed_{seed}"
FOLD = f"{NETWORK}/fold_{{fold}}"
EXPERTS = "mnn/seed_{seed}/dataset_threshold_{dataset_threshold}"
EXPERT = f"{EXPERTS}/class_{{c}}"
EVALUATION = f"{EXPERTS}/evaluation"
GENERIC = "mnn/seed_{seed}/generic"
CASCADE = "cascade/seed_{seed}"
MIXTURE = "mixture/seed_{seed}/{setting}"
GENERATOR = "hypernetwork/seed_{seed}/{experiment}_{generator}"
ADAPTED = f"{GENERATOR}/adapt/{{arm}}_{{shots}}"
TABLE = "tables/{table}.parquet"
FIGURE = "figures/{figure}"
PAGE = "{family}.md"
RUN_FRONTIER = "run_frontier"
RUN_LATENCY = "run_latency"
RESULTS = "results.parquet"
SUMMARY = "summary.md"
JOBS = ".jobs.json"
INDEX = "index.html"


BENCHMARKED = frozenset(
    """prepare_data train_network export_probabilities export_out_of_fold train_expert train_generic evaluate_mnn collect_mnn
    search_cascade run_cascade train_mixture export_gate train_generator describe_generator adapt_tasks measure_latency""".split()  # noqa: SIM905
)
"""Rules whose times Snakemake writes beside what they make."""


def table_of(name: str) -> str:
    """Where a table lies that a figure names: `results` over families, or one of tables/."""
    return RESULTS if name == "results" else TABLE.format(table=name)


def place(run: Path | str, pattern: str, **fields: object) -> Path:
    """A path of a run.

    Args:
        run: its folder.
        pattern: one of the above, perhaps with a file name behind it.
        fields: what its fields are; a dataset threshold may be a number.
    """
    texts = {name: format_threshold(value) if isinstance(value, float) else value for name, value in fields.items()}
    return Path(run, pattern.format(**texts))


def fields(path: Path | str, pattern: str) -> dict[str, str] | None:
    """The text of each field of a pattern in a path relative to the run's folder; None where the path is another."""
    match = re.fullmatch(_regex(pattern), Path(path).as_posix())
    return match.groupdict() if match else None


def found(run: Path, pattern: str, **known: object) -> Iterator[tuple[Path, dict[str, str]]]:
    """The files of a run that a pattern names, in order of their paths, and the text of each field.

    Args:
        run: its folder.
        pattern: one of the above with a file name behind it; fields may stand in the file's name too.
        known: fields that are given; the others may be anything.
    """
    names = dict.fromkeys(re.findall(r"\{(\w+)\}", pattern))
    filled = place("", pattern, **dict.fromkeys(names, "*") | known)
    for path in sorted(run.glob(filled.as_posix())):
        if (texts := fields(path.relative_to(run), pattern)) is not None:
            yield path, texts


def rule_of(benchmark: Path) -> str:
    """The rule that a benchmark file of a run is of, its path relative to the run's folder: such files lie beside what they measure."""
    if fields(benchmark.with_suffix(""), ADAPTED) is not None:
        return "adapt_tasks"
    return re.sub(r"_\d+$", "", benchmark.stem)


def benchmarks(run: Path) -> Iterator[tuple[Path, str]]:
    """The benchmark files of a run in order of their paths, and the rule of each; other people's tables in its folder are none."""
    for path in sorted(run.rglob("*.tsv")):
        if (rule := rule_of(path.relative_to(run))) in BENCHMARKED:
            yield path, rule


@cache
def _regex(pattern: str) -> str:
    """Texts and names of fields in turn; a field that stands twice has to be the same both times."""
    seen: set[str] = set()
    regex = ""
    for index, part in enumerate(re.split(r"\{(\w+)\}", pattern)):
        if index % 2 == 0:
            regex += re.escape(part)
        elif part in seen:
            regex += f"(?P={part})"
        else:
            regex += f"(?P<{part}>[^/]+)"
            seen.add(part)
    return regex
