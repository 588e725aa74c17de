"""What a finished run says of itself where Snakemake's records are lost: all of it fits, and every family says all that is compared."""

from pathlib import Path

import yaml

from metann.config.run import Config
from metann.config.section import read_section
from metann.workflow.expected import expected
from metann.workflow.records import _header, check_records


def adopted(configuration: Path, results: Path) -> list[Path]:
    """The files that are compared and there; raises where one does not fit the configuration, or leaves something out."""
    run = read_section(Config, yaml.safe_load(configuration.read_text()))
    check_records(run, results, results / "no records")
    compared = [(path, wanted) for path, wanted in expected(run, results, "", {}) if path.is_file()]
    for path, wanted in compared:
        assert set(wanted) <= set(_header(path)), path
    return [path for path, _ in compared]
