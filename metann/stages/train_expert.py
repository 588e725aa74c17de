"""Stage train_expert: one expert per class and dataset threshold, from the switch or a second network; or one for all classes."""

from pathlib import Path

from metann.config.mnn import ExpertSection


def train_expert(
    *,
    dataset_threshold: float,
    switch: Path,
    probabilities: Path,
    data: Path,
    expert: ExpertSection,
    seed: int,
    output: Path,
    classes: list[int] | None = None,
    generic: Path | None = None,
    selection: Path | None = None,
    body: Path | None = None,
    unsure: float | None = None,
) -> None:
    """Train the experts of the given classes on the images whose probability for the class reaches the dataset threshold.

    For each class, writes class_{c}/ with weights.safetensors, training.csv, expert_set.json (size, composition, state)
    and expert_probabilities.parquet (validation and test images). An expert without images, or with images of one side
    only, is not trained: it answers with the switch's own probability, and its state says so.

    With --generic one expert for all classes, the control, learns from the images of all experts which class an image is of,
    for as many images as they saw together. Its files, with probabilities.parquet, go into the output itself.

    Parameters
    ----------
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
    classes
        One or more class numbers; how they are grouped into jobs changes no byte of the files.
    generic
        In place of classes: what count-training wrote; it says how long the generic expert is trained.
    selection
        Out-of-fold probabilities of the training images; without it the switch's own choose (as published).
    body
        Weights of the second network, for body 'second'.
    unsure
        Learn only from images whose top probability is below this.
    """
    from metann.compute.process import start_torch
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files.headers import read_sealed_json, write_sealed_json
    from metann.mnn.experts import train_one
    from metann.mnn.lesson import Lesson, costs_of, described
    from metann.mnn.tail_experts import TailLesson, train_tail
    from metann.tables.join import check_seed, joined
    from metann.tables.probabilities import read_probabilities, write_expert_probabilities, write_probabilities
    from metann.thresholds import parse_threshold
    from metann.training.classifier import COLUMNS
    from metann.training.history import Length, write_history
    from metann.weights.files import WHOLE, load_weights, read_header, save_weights
    from metann.workflow.provenance import stage_code, versions

    if (classes is None) == (generic is None):
        raise MetannError("give either --classes, whose experts to train, or --generic, the training that the generic expert gets")
    if (body is None) != (expert.body == "switch"):
        raise MetannError(
            f"body {expert.body!r} {'needs --body, the weights of the second network' if body is None else 'takes no --body'}"
        )
    dataset_threshold = parse_threshold(dataset_threshold)
    device = start_torch(expert.device, expert.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    if strange := [c for c in classes or () if not 0 <= c < len(info.class_names)]:
        raise MetannError(f"class {strange[0]} is not in 0 .. {len(info.class_names) - 1}, the classes of {info.name}")
    table = read_probabilities(probabilities)
    p_NK = joined(samples, table).p_NK
    same = {"class_names": list(info.class_names), "digest": info.digest, "seed": seed}
    own = read_header(switch)
    if table.metadata.get("network", own.get("network")) != own.get("network"):
        raise MetannError(
            f"{probabilities} is of network {table.network!r}, {switch} of {own.get('network')!r}; give the switch's own table"
        )
    check_seed(table, seed)
    chosen_by_NK = p_NK[samples.rows("train")]
    if selection is not None:
        chosen_by_NK = joined(samples.select("train"), read_probabilities(selection)).p_NK
    code = stage_code("train_expert", architectures=[own["architecture"]])
    module, header = load_weights(switch, expect=same | WHOLE)
    begins, also = module, {"tail": expert.tail} if expert.tail else {}
    if body is not None:
        built_alike = {key: header.get(key) for key in ("architecture", "settings", "mean", "std")}
        begins, of_body = load_weights(body, expect=same | built_alike | WHOLE)
        also |= {"body": of_body["network"]}
    lesson = Lesson(prepared, p_NK, chosen_by_NK, dataset_threshold, expert, seed, device, module, header, begins, unsure, code)
    tails = TailLesson(lesson) if expert.tail else None
    of_all = costs_of(lesson, table.metadata.get("macs"))
    images = None if generic is None else read_sealed_json(generic, Length)["expert_images"]
    settings = expert.model_dump(mode="json")
    of_all |= {"switch": header["network"]} if header.get("network") is not None else {}
    chosen_from = {"unsure": unsure, "selection": "in_sample" if selection is None else "out_of_fold"}

    folders = {None: output} if classes is None else {c: output / f"class_{c}" for c in classes}
    for c, folder in folders.items():
        trained = train_one(c, lesson, folder, images) if tails is None else train_tail(c, tails, folder, images)
        identity = {"dataset_threshold": dataset_threshold, "seed": seed} | ({"network": "generic"} if c is None else {"class": c})
        made = identity | {"state": trained.facts.state, "code": code, "versions": versions()} | chosen_from
        write_history(folder / "training.csv", trained.history, COLUMNS)
        write_sealed_json(folder / "expert_set.json", trained.facts.as_dict() | identity)
        answers = described(lesson, trained, made | of_all)
        write = write_probabilities if trained.log_partition is not None else write_expert_probabilities
        write(folder / ("probabilities.parquet" if c is None else "expert_probabilities.parquet"), answers)
        save_weights(folder / "weights.safetensors", trained.module, header | also | made | {"training": settings})
    # Only now: a job killed between two of its classes finds the finished ones again by their checkpoints.
    for folder in folders.values():
        (folder / "checkpoint.pt").unlink(missing_ok=True)
