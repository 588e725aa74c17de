"""Nothing is lost and nothing stale is used: kills, full disks, missing permission, two runs at once, files that do not belong."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import metann
from digits_run import CONFIG, RUN, checkout, command, environment, fingerprint, left_over, run, undisturbed
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from metann.tables.frames import read_arrow, write_frame
from metann.tables.probabilities import read_expert_probabilities, write_expert_probabilities

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of an undisturbed run; read only."""
    return undisturbed(tmp_path_factory.getbasetemp())


# --- kills ----------------------------------------------------------------------------------------------------

KILLS = 20
STEPS = {
    "prepare_data": 1,
    "train_network": 2,
    "export_probabilities": 2,
    "train_expert": 4,
    "evaluate_mnn": 2,
    "collect_mnn": 1,
    "collect_run": 1,
    "draw_figure": 2,
    "write_page": 1,
}


class Victim:
    """A workflow that is killed again and again."""

    def __init__(self, folder: Path, reference: dict[str, str]) -> None:
        self.folder, self.reference, self.outputs = folder, reference, 0
        self.start()

    def start(self) -> None:
        self.outputs += 1
        with (self.folder / f"output_{self.outputs}").open("w") as output:
            self.head = subprocess.Popen(
                command("--cores", 2, "--retries", KILLS),
                cwd=self.folder,
                env=environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def finished(self) -> Counter[str]:
        """Rule -> jobs that ended well, over all calls."""
        text = "".join((self.folder / f"output_{i + 1}").read_text() for i in range(self.outputs))
        return Counter(re.sub(r"_\d+$", "", rule) for rule in re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", text, re.MULTILINE))

    def jobs(self) -> list[psutil.Process]:
        """The processes of running jobs: shells, and the stages in them."""
        try:
            return psutil.Process(self.head.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def kill(self, what: str, rng: random.Random) -> None:
        if what == "job" and (jobs := self.jobs()):
            with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself meanwhile
                rng.choice(jobs).kill()
            return
        if what == "everything":  # as when the power fails
            os.killpg(self.head.pid, signal.SIGKILL)
        else:
            self.head.kill()  # jobs run on without it
        self.head.wait()
        refused = run(self.folder, "--cores", 2, check=False) if self.outputs == 1 else None
        assert refused is None or (refused.returncode and "--unlock" in refused.stdout), "a stale lock says what to type"
        run(self.folder, "--unlock")
        self.start()

    def check_files(self) -> None:
        """Every file with its final name is whole and right at every moment."""
        for path, digest in fingerprint(self.folder).items():
            assert path.endswith(("training.csv", "checkpoint.pt")) or digest == self.reference[path], f"{path} is not what it should be"


def one_run(folder: Path, expected: dict[str, str], kinds: list[str], rng: random.Random) -> int:
    """A run that is killed at most once for each of `kinds`; how often it was, before it ended whole and right."""
    victim, struck = Victim(folder, expected), 0
    try:
        for number, kind in enumerate(kinds):
            # A kill waits for its share of the run to be done, so that the moments span it, and then for a random time.
            step, delay = number * 10 // len(kinds), rng.uniform(0, 2)
            end = time.monotonic() + 120
            while victim.head.poll() is None and not (victim.finished().total() >= step and victim.jobs()):
                assert time.monotonic() < end, "the run stands still"
                time.sleep(0.05)
            time.sleep(delay)
            if victim.head.poll() is not None:
                break
            if not struck:  # two at once on one folder
                second = run(folder, "--cores", 2, check=False)
                assert second.returncode
                assert "--unlock" in second.stdout
            victim.kill(kind, rng)
            victim.check_files()
            struck += 1
        assert victim.head.wait(180) == 0, (folder / f"output_{victim.outputs}").read_text()
    finally:
        if victim.head.poll() is None:
            os.killpg(victim.head.pid, signal.SIGKILL)
            victim.head.wait()
        psutil.wait_procs(left_over(folder), timeout=60)
    assert fingerprint(folder) == expected
    finished = victim.finished()
    finished.pop("all")
    assert finished <= Counter(STEPS), "what has ended well is never run again"
    # A head that is killed may have written down that a job ended and not yet said so: one job for each start after the first.
    assert finished.total() >= sum(STEPS.values()) - (victim.outputs - 1)
    assert "Nothing to be done" in run(folder, "--dry-run").stdout
    return struck


def test_twenty_kills_change_no_byte(reference: Path, tmp_path: Path) -> None:
    rng = random.Random(20)
    kinds = rng.sample(["job"] * (KILLS - 7) + ["head"] * 4 + ["everything"] * 3, KILLS)
    runs = 0
    while kinds:  # a quick machine may end a run before all of its kills
        runs += 1
        struck = one_run(checkout(tmp_path / f"killed_{runs}", reference), fingerprint(reference), kinds, rng)
        assert struck, "a run ended before its first kill"
        kinds = kinds[struck:]


# --- the disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small file system of its own."""
    mounted: list[Path] = []

    def inner(options: str) -> Path:
        folder = tmp_path / f"mount_{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"NO SMALL DISK: tmpfs cannot be mounted here ({done.stderr.strip()}); full and read-only disks are not tested")
        mounted.append(folder)
        return folder

    yield inner
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


TRAINING = ["epochs=1", "crop-padding=0", "device=cpu"]
SWITCH, EXPERTS = RUN / "networks/switch/seed_0", RUN / "mnn/seed_0/dataset_threshold_0.05"
EVALUATION = RUN / "mnn/seed_0/dataset_threshold_0.05/evaluation"


def arguments_of(verb: str, output: Path) -> list[object]:
    """A verb on the reference's files that writes into `output`; paths are below the reference."""
    expert_tables = [EXPERTS / f"class_{c}/expert_probabilities.parquet" for c in range(10)]
    return [
        verb,
        *{
            "prepare-data": ["--data.name=digits", f"--output={output}"],
            "train-network": [
                *("--name=switch", "--network.architecture=small_cnn", "--network.settings.width=16", f"--data={RUN}/data"),
                *(f"--training.{setting}" for setting in TRAINING),
                *("--seed=0", f"--output={output}"),
            ],
            "export-probabilities": [
                *(f"--weights={SWITCH}/weights.safetensors", f"--data={RUN}/data", f"--output={output}/probabilities.parquet"),
                *("--device=cpu", "--network=switch", "--seed=0"),
            ],
            "train-expert": [
                *("--classes", 1, "--dataset-threshold=0.05", f"--switch={SWITCH}/weights.safetensors", f"--data={RUN}/data"),
                *(f"--probabilities={SWITCH}/probabilities.parquet", *(f"--expert.{setting}" for setting in TRAINING)),
                *("--seed=0", f"--output={output}"),
            ],
            "evaluate-mnn": [
                *(f"--switch={SWITCH}/probabilities.parquet", "--experts", *expert_tables, "--dataset-threshold=0.05"),
                *("--test-thresholds", 0.1, 0.5, f"--output={output}"),
            ],
            "collect-mnn": ["--evaluations", EVALUATION, "--statistics.permutations=50", f"--output={output}"],
            "draw-figure": ["mnn_heatmap", f"--run={RUN}", f"--png={output}/mnn_heatmap.png"],
        }[verb],
    ]


VERBS = ["prepare-data", "train-network", "export-probabilities", "train-expert", "evaluate-mnn", "collect-mnn", "draw-figure"]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a refused command: code 2, one line, no traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("metann: error: ")
    return done.stderr.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line_and_leaves_no_half_file(reference: Path, mount: Callable[[str], Path], verb: str) -> None:
    folder = mount("size=12k")  # three pages: small files fit, then no more
    said = one_line(metann(*arguments_of(verb, folder / "output"), cwd=reference, check=False))
    assert said.startswith(f"metann: error: cannot write {folder}")
    assert "free space" in said
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name]
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.is_file():
            assert path.suffix == ".csv", f"{path} fits on no disk of three pages"


def test_a_folder_without_permission(reference: Path, mount: Callable[[str], Path], tmp_path: Path) -> None:
    if os.getuid() == 0:
        folder = mount("ro")  # permissions do not stop root
    else:
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o555)
    said = one_line(metann(*arguments_of("evaluate-mnn", folder / "output"), cwd=reference, check=False))
    assert re.search(f"cannot write {folder}.*(Read-only file system|Permission denied).*permission is needed", said)
    project = checkout(tmp_path / "project", reference)
    (project / "results").symlink_to(folder)
    done = run(project, "--cores", 1, check=False)
    assert done.returncode
    assert re.search(f"Failed to create output directory .*{RUN}", done.stdout)
    assert "Traceback" not in done.stdout


# --- stale files ----------------------------------------------------------------------------------------------


Spoil = Callable[[Path], object]


def cell(column: str) -> Spoil:
    """Change one number of a table as any program could, and keep everything else."""

    def spoil(path: Path) -> None:
        table = pq.read_table(path, partitioning=None)
        index = table.schema.get_field_index(column)
        values = table.column(column).to_pylist()
        values[0] = values[0] / 2 if isinstance(values[0], float) else values[0] + 1
        pq.write_table(table.set_column(index, table.schema.field(column), pa.array(values, table.schema.field(column).type)), path)

    return spoil


def origin(**changes: object) -> Spoil:
    """Make an expert table one of another origin: written properly, with other metadata."""

    def spoil(path: Path) -> None:
        table = read_expert_probabilities(path)
        write_expert_probabilities(path, type(table)(**(vars(table) | {"metadata": table.metadata | changes})))

    return spoil


def header(**changes: object) -> Spoil:
    """Make weights those of another origin: the tensors, with another header."""

    def spoil(path: Path) -> None:
        with safe_open(path, framework="numpy") as file:
            found = json.loads(file.metadata()["metann"])
        save_file(load_file(path), path, metadata={"metann": json.dumps(found | changes)})

    return spoil


def schema_0(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    metadata = json.loads(table.schema.metadata[b"metann"]) | {"schema": 0}
    pq.write_table(table.replace_schema_metadata({b"metann": json.dumps(metadata).encode()}), path)


def other(file: str) -> Spoil:
    """Put another file of the run in its place."""
    return lambda path: shutil.copy(next(parent for parent in path.parents if parent.name == RUN.name) / file, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def other_dataset(path: Path) -> None:
    path.write_text(re.sub(r'"digest": "\w+"', '"digest": "0"', path.read_text()))


TURNED = list("1023456789")
SWITCH_TABLE, WEIGHTS = SWITCH / "probabilities.parquet", SWITCH / "weights.safetensors"
EXPERT_TABLE = EXPERTS / "class_3/expert_probabilities.parquet"
OTHER_EXPERT = "mnn/seed_0/dataset_threshold_0.05/class_4/expert_probabilities.parquet"
STALE: list[tuple[str, str, Path, Spoil, str]] = [
    ("edited switch table", "evaluate-mnn", SWITCH_TABLE, cell("log_partition"), "was changed"),
    ("edited expert table", "evaluate-mnn", EXPERT_TABLE, cell("expert_probability"), "was changed"),
    ("edited evaluation", "collect-mnn", EVALUATION / "prefix.parquet", cell("p_0"), "was changed"),
    ("edited results", "draw-figure", RUN / "tables/mnn_results.parquet", cell("correct"), "was changed"),
    ("edited samples", "export-probabilities", RUN / "data/samples.parquet", cell("label"), "was changed"),
    ("older schema of tables", "evaluate-mnn", SWITCH_TABLE, schema_0, "schema 0"),
    ("older schema of results", "draw-figure", RUN / "tables/mnn_results.parquet", schema_0, "schema 0"),
    ("table of another dataset", "evaluate-mnn", EXPERT_TABLE, origin(digest="0" * 16), "another dataset"),
    ("table of another class order", "evaluate-mnn", EXPERT_TABLE, origin(class_names=TURNED), "another class order"),
    ("table of another seed", "evaluate-mnn", EXPERT_TABLE, origin(seed=1), "is of seed 1"),
    ("table of another threshold", "evaluate-mnn", EXPERT_TABLE, origin(dataset_threshold=0.2), "dataset threshold 0.2"),
    ("table of another expert", "evaluate-mnn", EXPERT_TABLE, other(OTHER_EXPERT), "class 4 is given twice"),
    (
        "weights of another network",
        "export-probabilities",
        WEIGHTS,
        other("networks/wide/seed_0/weights.safetensors"),
        "'wide', but 'switch'",
    ),
    ("weights of another seed", "export-probabilities", WEIGHTS, header(seed=1), "seed 1, but 0"),
    ("weights of another dataset", "train-expert", WEIGHTS, header(digest="0" * 16), "digest '0000000000000000'"),
    ("weights of another class order", "export-probabilities", WEIGHTS, header(class_names=TURNED), r"class_names\[0\] '1', but '0'"),
    ("weights of another shape", "export-probabilities", WEIGHTS, header(settings={"width": 5, "depth": 2}), "was changed"),
    ("truncated weights", "export-probabilities", WEIGHTS, cut, "truncated"),
    ("truncated images", "train-network", RUN / "data/images.npy", cut, "not a whole image array"),
    ("description of another dataset", "train-network", RUN / "data/dataset.json", other_dataset, "was changed after metann wrote it"),
]


@pytest.mark.parametrize(("what", "verb", "path", "spoil", "says"), STALE, ids=[case[0] for case in STALE])
def test_what_does_not_belong_is_refused_by_name(
    reference: Path, tmp_path: Path, what: str, verb: str, path: Path, spoil: Spoil, says: str
) -> None:
    shutil.copytree(reference / RUN, tmp_path / RUN)
    spoil(tmp_path / path)
    said = one_line(metann(*arguments_of(verb, tmp_path / "output"), cwd=tmp_path, check=False))
    assert re.search(says, said), what
    assert str(path) in said, "the file is named"
    assert re.search(r"; ((make|delete|use|give|check) .*|.*again)$", said), "the cure is named"
    assert not (tmp_path / "output").exists()


def test_results_written_by_hand_are_sealed_and_read(tmp_path: Path) -> None:
    """The seal refuses edits, not tables that come through metann."""
    write_frame(tmp_path / "t.parquet", {"x": [1.0, 2.0], "good": [True, False], "name": ["a", "b"]}, "mine", {"note": "x"})
    table, metadata = read_arrow(tmp_path / "t.parquet", "mine")
    assert metadata == {"note": "x", "schema": 1, "kind": "mine"}
    write_frame(tmp_path / "u.parquet", {name: table.column(name).to_pylist() for name in table.column_names}, "mine", metadata)
    assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "u.parquet").read_bytes()


def test_the_advice_mends_the_run(reference: Path, tmp_path: Path) -> None:
    """A table is edited; the workflow says so on the screen; following its words gives the same bytes again."""
    folder = tmp_path / "edited"
    shutil.copytree(reference, folder)
    table = RUN / "mnn/seed_0/dataset_threshold_0.20/evaluation/prefix.parquet"
    cell("p_0")(folder / table)
    done = run(folder, "--cores", 1, check=False)
    assert done.returncode
    assert f"metann: error: {table} was changed after metann wrote it; delete it and run snakemake again" in done.stdout
    (folder / table).unlink()
    run(folder, "--cores", 1)
    assert fingerprint(folder) == fingerprint(reference)
    assert (folder / CONFIG).exists()
