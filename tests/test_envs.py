"""envs/ as far as it can be checked without conda and docker: parsed, and held against pyproject.toml and requirements.lock."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Name on conda-forge or bioconda -> name on the Python index.
ELSEWHERE = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
NEEDED = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
EXTRAS = {extra: [Requirement(text) for text in texts] for extra, texts in PROJECT["optional-dependencies"].items()}


def locked() -> dict[str, tuple[Version, list[str]]]:
    """Package -> its version and hashes in requirements.lock."""
    found: dict[str, tuple[Version, list[str]]] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^ ;\\]+)", line):
            name = canonicalize_name(match[1])
            found[name] = Version(match[2]), []
        elif match := re.match(r"\s+--hash=sha256:([0-9a-f]{64})", line):
            found[name][1].append(match[1])
    return found


LOCK = locked()


def test_the_lock_has_a_hash_for_everything_and_no_address() -> None:
    assert len(LOCK) > 50
    assert [name for name, (_, hashes) in LOCK.items() if not hashes] == []
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert "--index" not in (ROOT / "requirements.lock").read_text()


@pytest.mark.parametrize("requirement", [*NEEDED.values(), *EXTRAS["slurm"], *EXTRAS["dev"]], ids=str)
def test_what_the_project_needs_is_locked(requirement: Requirement) -> None:
    version, _ = LOCK[canonicalize_name(requirement.name)]
    assert version in requirement.specifier


def test_the_locked_versions_go_together() -> None:
    """Every locked package that is installed here finds what it needs in the lock: the lock is a solution, not a list."""
    checked, faults = 0, []
    environment = default_environment() | {"extra": ""}
    for name, (version, _) in LOCK.items():
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(distribution.version) != version:
            continue
        checked += 1
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            found = LOCK.get(canonicalize_name(requirement.name))
            if found is None or not requirement.specifier.contains(found[0], prereleases=True):
                faults.append(f"{name} {version} needs {requirement}, locked: {found and found[0]}")
    assert not faults
    if checked < 0.8 * len(LOCK):
        pytest.skip(f"ONLY {checked} OF {len(LOCK)} locked packages are installed in their locked version; the others are not checked")


def test_conda_asks_for_the_same_as_pip() -> None:
    environment = yaml.safe_load((ROOT / "envs/metann.yaml").read_text())
    assert environment["name"] == "metann"
    assert environment["channels"] == ["conda-forge", "bioconda"]  # bioconda's packages are built on conda-forge's
    asked = {}
    for line in environment["dependencies"]:
        name, _, bound = line.partition(" ")
        assert re.fullmatch(r"(>=[\d.]+)?", bound), line
        asked[canonicalize_name(ELSEWHERE.get(name, name))] = SpecifierSet(bound)
    assert asked.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert "pip" in asked
    wanted = NEEDED | {canonicalize_name(requirement.name): requirement for requirement in EXTRAS["slurm"]}
    assert {name: requirement.specifier for name, requirement in wanted.items()}.items() <= asked.items()
    # pygments is what snakemake[reports] adds.
    assert set(asked) - set(wanted) == {"pip", "pygments"}
    assert "reports" in NEEDED["snakemake"].extras


def test_the_image_is_built_as_the_readme_installs() -> None:
    text = (ROOT / "envs/Dockerfile").read_text()
    steps = [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert [step[0] for step in steps] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY", "RUN", "CMD"]
    base = re.fullmatch(r"python:(\d+\.\d+)-slim", steps[0][1])
    assert base
    assert Version(base[1]) in SpecifierSet(PROJECT["requires-python"])
    for instruction, rest in steps:
        if instruction == "COPY":
            source = rest.split()[0]
            assert (ROOT / source).exists(), source
    installs = [rest for instruction, rest in steps if instruction == "RUN"]
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps -e ." in installs[1]
    assert yaml.safe_load(steps[-1][1]) == ["snakemake", "--cores", "all"]


def test_one_version_everywhere() -> None:
    tag = f"metann:{PROJECT['version']}"
    assert tag in (ROOT / "envs/Dockerfile").read_text()
    assert f'"docker://{tag}"' in (ROOT / "Snakefile").read_text()
    minimum = re.search(r'min_version\("([\d.]+)"\)', (ROOT / "Snakefile").read_text())
    assert minimum
    assert NEEDED["snakemake"].specifier == SpecifierSet(f">={minimum[1]}")


@pytest.mark.parametrize("name", [".git", ".venv", "results", ".snakemake", "data"])
def test_the_image_does_not_carry_what_is_not_the_project(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert name in ignored
    assert not Path(ROOT, name).is_file()
