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
    import time

    import numpy as np
    import torch

    from metann.compute.inference import infer
    from metann.compute.normalise import Normalisation
    from metann.compute.process import start_torch
    from metann.cost.macs import count_macs
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files import write_json
    from metann.mnn.expert_sets import active, describe
    from metann.networks._build import build
    from metann.seeds import derive_seed
    from metann.tables.join import align
    from metann.tables.probabilities import ExpertProbabilities, digest_of, read_probabilities, write_expert_probabilities
    from metann.tables.sealed import CURE
    from metann.thresholds import parse_threshold
    from metann.training.classifier import LabelledImages, train, write_history
    from metann.training.objectives import OneClass, class_probabilities
    from metann.weights.files import load_weights, read_header, save_weights
    from metann.weights.head import head_parameters
    from metann.workflow.provenance import stage_code, versions

    dataset_threshold = parse_threshold(dataset_threshold)
    device = start_torch(expert.device, expert.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    if strange := [c for c in classes if not 0 <= c < len(info.class_names)]:
        raise MetannError(f"class {strange[0]} is not in 0 .. {len(info.class_names) - 1}, the classes of {info.name}")
    table = read_probabilities(probabilities)
    p_NK = table.p_NK[align(samples, table, data / "samples.parquet", probabilities)]
    of_switch = {"class_names": list(info.class_names), "digest": info.digest, "seed": seed}
    if "network" in table.metadata:
        of_switch["network"] = table.metadata["network"]
    if table.metadata.get("seed", seed) != seed:
        raise MetannError(f"{probabilities} is of seed {table.metadata['seed']}, not {seed}; {CURE}")
    rows = {split: samples.rows(split) for split in ("train", "val", "test")}
    chosen_by_NK = p_NK[rows["train"]]
    if selection is not None:
        unseen = read_probabilities(selection)
        chosen_by_NK = unseen.p_NK[align(samples.select("train"), unseen, data / "samples.parquet", selection)]
    asked = np.concatenate([rows["val"], rows["test"]])
    asked_images = LabelledImages.of(prepared.images_NCHW, samples.label, asked).to(device).images_NCHW
    settings = expert.model_dump(mode="json")
    code = stage_code("train_expert", architectures=[read_header(switch)["architecture"]])

    for c in classes:
        folder = output / f"class_{c}"
        module, header = load_weights(switch, expect=of_switch)
        normalisation = Normalisation(tuple(header["mean"]), tuple(header["std"]))
        train_rows = rows["train"][active(chosen_by_NK[:, c], dataset_threshold)]
        val_rows = rows["val"][active(p_NK[rows["val"], c], dataset_threshold)]
        facts = describe(c, samples.label[train_rows], samples.label[val_rows], len(info.class_names))
        print(f"class {c} ({info.class_names[c]}): {facts.size} training images, {facts.positives} of the class, {facts.state}", flush=True)
        seed_parts = (seed, "train_expert", c, dataset_threshold)
        history = []
        answers_N = p_NK[asked, c]
        if facts.state == "trained":
            if expert.start == "scratch":
                torch.manual_seed(derive_seed(*seed_parts, "weights"))
                module = build(header["architecture"], len(info.class_names), info.channels, info.image_size, **header["settings"])
            start = digest_of(*(value.numpy() for value in module.state_dict().values()))
            history = train(
                module.to(device),
                LabelledImages.of(prepared.images_NCHW, samples.label, train_rows),
                LabelledImages.of(prepared.images_NCHW, samples.label, val_rows),
                normalisation,
                OneClass(c, expert.label_smoothing),
                expert,
                seed_parts,
                folder,
                parameters=head_parameters(module) if expert.train == "head" else None,
                hard=expert.sampler == "hard",
                key=f"{info.digest} {settings} {start} {digest_of(train_rows, val_rows)} {code}",
            )
            begin = time.perf_counter()
            answers_N = class_probabilities(infer(module, asked_images, normalisation))[:, c].numpy()
            print(f"{len(asked)} images answered in {time.perf_counter() - begin:.2f} s", flush=True)
        identity = {"class": c, "dataset_threshold": dataset_threshold, "seed": seed}
        made = identity | {"state": facts.state, "code": code, "versions": versions()}
        metadata = made | {"dataset": info.name, "digest": info.digest, "class_names": list(info.class_names)}
        # An expert is built as the switch is; to count again would cost each job an import of 0.2 s.
        metadata["macs"] = table.metadata.get("macs") or count_macs(module, info.channels, info.image_size)
        write_history(folder / "training.csv", history)
        write_json(folder / "expert_set.json", facts.as_dict() | identity)
        keys = (samples.sample_id[asked], samples.split[asked], samples.label[asked])
        answers = ExpertProbabilities(*keys, metadata, expert_probability=answers_N)
        write_expert_probabilities(folder / "expert_probabilities.parquet", answers)
        save_weights(folder / "weights.safetensors", module, header | made | {"training": settings})
    # Only now: a job killed between two of its classes finds the finished ones again by their checkpoints.
    for c in classes:
        (output / f"class_{c}" / "checkpoint.pt").unlink(missing_ok=True)
