"""Stage describe_generator: what the classifiers of a trained generator do and are like."""

from pathlib import Path

from metann.config.hypernetwork import AdaptationSection


def describe_generator(*, weights: Path, tasks: Path, data: Path, adaptation: AdaptationSection, seed: int, output: Path) -> None:
    """Write reliance, codes, layers, interpolation and multiclass tables of a trained generator, which stays as it is.

    Also classes.safetensors: the classifier for all classes, one generated network for each against the rest.

    Parameters
    ----------
    weights
        Of the generator.
    tasks
        The tasks.parquet beside them.
    data
        Folder made by prepare-data.
    adaptation
        Steps, batch size and learning rates of the class against the rest tasks.
    seed
        Of this run.
    output
        Folder to write into.
    """
    import numpy as np
    import torch

    from metann.compute.process import start_torch
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.hypernetwork.description import interpolation_table, learn_classes, logits_of, reliance_table
    from metann.hypernetwork.held_out import mirrors
    from metann.hypernetwork.images import ClassImages, seen_before
    from metann.hypernetwork.measures import effective_rank, saturation, variance_share
    from metann.hypernetwork.model import GeneratedClassifier, load_generator, read_tasks
    from metann.tables.frames import write_frame
    from metann.tables.probabilities import write_probabilities
    from metann.tables.samples import Probabilities
    from metann.workflow.provenance import stage_code, versions

    device = start_torch(adaptation.device, adaptation.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    trained = load_generator(weights, {"digest": info.digest, "seed": seed}, device)
    built, _, described = read_tasks(tasks)
    generator, header, classes = trained.generator, trained.header, len(info.class_names)
    if described["generator_digest"] != header["generator_digest"]:
        raise MetannError(f"{tasks} is not of the generator {weights}; give the two that one train-generator wrote")
    metadata = described | {"code": stage_code("describe_generator", architectures=[header["classifier"]]), "versions": versions()}
    rows = {split: samples.rows(split) for split in ("train", "val", "test")}
    dropped_N = seen_before(prepared.images_NCHW, rows["test"], np.concatenate([rows["train"], rows["val"]]))
    metadata["adaptation"] = adaptation.model_dump(mode="json")
    metadata["dropped_test_images"] = int(dropped_N.sum())

    def images_of(of: np.ndarray) -> ClassImages:
        return ClassImages.of(prepared.images_NCHW, samples.label, of, classes, trained.normalisation, device)

    fresh = {"val": images_of(rows["val"]), "test": images_of(rows["test"][~dropped_N])}
    tables = []
    for split, images in fresh.items():
        table = reliance_table(trained, built, images)
        tables.append(table | {"split": np.array([split] * len(table["n"]))})
    reliance = {name: np.concatenate([table[name] for table in tables]) for name in ("task_i", "z_j", "split", "n", "correct")}
    write_frame(output / "reliance.parquet", reliance, "hypernetwork_reliance", metadata)
    way = interpolation_table(trained, built, mirrors(built), fresh["test"])
    write_frame(output / "interpolation.parquet", way, "hypernetwork_interpolation", metadata)
    z_TD = trained.z_TD.cpu().numpy()
    codes = {"task": np.array(header["tasks"], np.int16)} | {f"z_{d}": z_TD[:, d] for d in range(z_TD.shape[1])}
    write_frame(output / "codes.parquet", codes, "hypernetwork_codes", metadata)
    with torch.no_grad():
        theta_TP = generator.flat(trained.z_TD).cpu().numpy()
    limit_P = generator.limit_P.cpu().numpy()
    layers = list(generator.layers())
    described_layers = {
        "layer": np.array([name for name, _ in layers]),
        "numbers": np.array([place.stop - place.start for _, place in layers], np.int32),
        "variance_share": np.array([variance_share(theta_TP[:, place]) for _, place in layers]),
        "effective_rank": np.array([effective_rank(theta_TP[:, place]) for _, place in layers]),
        "saturation": np.array([saturation(theta_TP[:, place], limit_P[place]) for _, place in layers]),
    }
    write_frame(output / "layers.parquet", described_layers, "hypernetwork_layers", metadata)

    z_RKD = learn_classes(trained, images_of(rows["train"]), adaptation, (seed, "describe_generator"))
    if generator.digest() != header["generator_digest"]:
        raise MetannError(f"learning the classes changed the generator {weights}, which is frozen")
    asked = np.concatenate([rows["val"], rows["test"]])
    # Not sorted by class here: rows of the table are rows of the images.
    nobody_K = torch.zeros(0, dtype=torch.int64, device=device)
    plain = ClassImages(torch.from_numpy(prepared.images_NCHW[asked]).to(device), nobody_K, nobody_K, trained.normalisation)
    all_rows = torch.arange(len(asked), device=device)
    label_V, val_rows = samples.label[rows["val"]], all_rows[: len(rows["val"])]
    right_R = [(logits_of(trained, z_KD, plain, val_rows).argmax(axis=0) == label_V).mean() for z_KD in z_RKD]
    best = int(np.argmax(right_R))
    logits_NK = torch.from_numpy(np.ascontiguousarray(logits_of(trained, z_RKD[best], plain, all_rows).T)).double()
    answers = Probabilities(
        samples.sample_id[asked],
        samples.split[asked],
        samples.label[asked],
        metadata
        | {
            "network": f"{header['experiment']}_{header['generator']}",
            "architecture": header["architecture"],
            "macs": classes * header["macs"],
            "parameters": classes * header["numbers"],
            "generator_parameters": header["parameters"],
            "trained_numbers": classes * header["z_size"],
            "learning_rate": adaptation.learning_rates[best],
            "normalisation": {"mean": header["mean"], "std": header["std"]},
        },
        p_NK=logits_NK.softmax(dim=1).float().numpy(),
        log_partition=logits_NK.logsumexp(dim=1).float().numpy(),
    )
    write_probabilities(output / "multiclass.parquet", answers)
    with torch.no_grad():
        parameters = generator(z_RKD[best])
    made = {"learning_rate": adaptation.learning_rates[best], "steps": adaptation.steps, "seed": seed}
    made["val_accuracy"] = float(right_R[best])
    GeneratedClassifier.written(trained, z_RKD[best], parameters, info.class_names, made).save(output / "classes.safetensors")
    for split in ("val", "test"):
        part = answers.select(split)
        print(f"{classes} classes, {split}: {len(part)} images, accuracy {np.mean(part.p_NK.argmax(axis=1) == part.label):.4f}")
