"""Stage train_expert: one expert per class and dataset threshold, fine-tuned from the switch."""

from pathlib import Path

from metann.config.mnn import ExpertSection


def train_expert(
    *,
    classes: list[int],
    dataset_threshold: float,
    switch: Path,
    probabilities: Path,
    data: Path,
    expert: ExpertSection,
    seed: int,
    output: Path,
    selection: Path | None = None,
) -> None:
    """Train the experts of the given classes on the images whose probability for the class reaches the dataset threshold.

    For each class, writes class_{c}/ with weights.safetensors, training.csv, expert_set.json (size, composition, state)
    and expert_probabilities.parquet (validation and test images). An expert without images, or with images of one side
    only, is not trained: it answers with the switch's own probability, and its state says so.

    Parameters
    ----------
    classes
        One or more class numbers; how they are grouped into jobs changes no byte of the files.
    dataset_threshold
        In [0, 1].
    switch
        Weights of the switch.
    probabilities
        The switch's probabilities.
    data
        Folder made by prepare-data.
    expert
        The training, and what it starts from.
    seed
        Of this run.
    output
        Folder of this dataset threshold.
    selection
        Out-of-fold probabilities of the training images; without it the switch's own choose (as published).
    """
    from metann.compute.process import start_torch
    from metann.cost.macs import count_macs
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files import write_sealed_json
    from metann.mnn.experts import Lesson, train_one
    from metann.tables.join import check_seed, joined
    from metann.tables.probabilities import ExpertProbabilities, read_probabilities, write_expert_probabilities
    from metann.thresholds import parse_threshold
    from metann.training.classifier import COLUMNS
    from metann.training.history import write_history
    from metann.weights.files import load_weights, read_header, save_weights
    from metann.workflow.provenance import stage_code, versions

    dataset_threshold = parse_threshold(dataset_threshold)
    device = start_torch(expert.device, expert.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    if strange := [c for c in classes if not 0 <= c < len(info.class_names)]:
        raise MetannError(f"class {strange[0]} is not in 0 .. {len(info.class_names) - 1}, the classes of {info.name}")
    table = read_probabilities(probabilities)
    p_NK = joined(samples, table).p_NK
    of_switch = {"class_names": list(info.class_names), "digest": info.digest, "seed": seed}
    if "network" in table.metadata:
        of_switch["network"] = table.metadata["network"]
    check_seed(table, seed)
    chosen_by_NK = p_NK[samples.rows("train")]
    if selection is not None:
        chosen_by_NK = joined(samples.select("train"), read_probabilities(selection)).p_NK
    code = stage_code("train_expert", architectures=[read_header(switch)["architecture"]])
    lesson = Lesson(prepared, p_NK, chosen_by_NK, dataset_threshold, expert, seed, device, code)
    settings = expert.model_dump(mode="json")

    for c in classes:
        folder = output / f"class_{c}"
        module, header = load_weights(switch, expect=of_switch)
        trained = train_one(c, lesson, module, header, folder)
        identity = {"class": c, "dataset_threshold": dataset_threshold, "seed": seed}
        made = identity | {"state": trained.facts.state, "code": code, "versions": versions()}
        metadata = made | {"dataset": info.name, "digest": info.digest, "class_names": list(info.class_names)}
        # An expert is built as the switch is; to count again would cost each job an import of 0.2 s.
        metadata["macs"] = table.metadata.get("macs") or count_macs(trained.module, info.channels, info.image_size)
        write_history(folder / "training.csv", trained.history, COLUMNS)
        write_sealed_json(folder / "expert_set.json", trained.facts.as_dict() | identity)
        keys = (column[lesson.asked] for column in (samples.sample_id, samples.split, samples.label))
        answers = ExpertProbabilities(*keys, metadata, expert_probability=trained.answers_N)
        write_expert_probabilities(folder / "expert_probabilities.parquet", answers)
        save_weights(folder / "weights.safetensors", trained.module, header | made | {"training": settings})
    # Only now: a job killed between two of its classes finds the finished ones again by their checkpoints.
    for c in classes:
        (output / f"class_{c}" / "checkpoint.pt").unlink(missing_ok=True)
