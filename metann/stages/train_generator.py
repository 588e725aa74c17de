"""Stage train_generator: a network that writes classifiers, trained on many tasks."""

from pathlib import Path

from metann.config.hypernetwork import ClassifierSection, ExperimentSection, GeneratorSection, ManyTasksSection


def train_generator(
    *,
    name: str,
    tasks: str,
    experiment: ExperimentSection,
    generator: GeneratorSection,
    classifier: ClassifierSection,
    training: ManyTasksSection,
    data: Path,
    seed: int,
    output: Path,
    shots: int = 0,
) -> None:
    """Train one generator on the training tasks of one experiment.

    Writes weights.safetensors (the generator, and z of every training task), training.csv and tasks.parquet into `output`. Killed at
    any moment and started again, it resumes from its checkpoint and ends with the same weights on the same machine.

    Parameters
    ----------
    name
        Of the generator; part of its seed and its header.
    tasks
        Name of the experiment.
    experiment
        Which tasks there are, and which are held out.
    generator
        What writes the classifiers.
    classifier
        What is written.
    training
        Steps, tasks of a step, learning rate and so on.
    data
        Folder made by prepare-data.
    seed
        Of this run: 0, 1, 2 ...
    output
        Folder to write into.
    shots
        Images of each class that held-out tasks will be learned from, at most: checked before the training, and no part of it.
    """
    import numpy as np
    import torch

    from metann.compute.process import start_torch
    from metann.cost.macs import count_macs, count_parameters
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files.digests import own_sources
    from metann.hypernetwork.classifiers import build_classifier
    from metann.hypernetwork.generators import build_generator
    from metann.hypernetwork.images import ClassImages
    from metann.hypernetwork.many_tasks import ManyTasks, better, forget_unused, start_z
    from metann.hypernetwork.model import normalisation_of
    from metann.hypernetwork.tasks import assign_sets, build_tasks, task_columns
    from metann.seeds import derive_seed
    from metann.tables.frames import write_frame
    from metann.training.loop import run_epochs
    from metann.weights.files import save_weights
    from metann.workflow.provenance import stage_code, versions

    device = start_torch(training.device, training.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    built = build_tasks(experiment.scheme, info.class_names, **experiment.options)
    sets = assign_sets(built, experiment.held_out, experiment.test, experiment.validation, experiment.seed)
    train_rows = samples.rows("train")
    count_K = np.bincount(samples.label[train_rows], minlength=len(info.class_names))
    if shots > count_K.min():
        few = info.class_names[int(count_K.argmin())]
        raise MetannError(f"{shots} shots are more than the {count_K.min()} training images of class {few}; lower hypernetwork.shots")
    trained = [task for task, name_of_set in zip(built, sets, strict=True) if name_of_set == "train"]
    code = stage_code("train_generator", architectures=[classifier.name])
    seed_parts = (seed, "train_generator", tasks, name)
    torch.manual_seed(derive_seed(*seed_parts, "weights"))
    network = build_classifier(classifier.name, info.channels, info.image_size, **classifier.settings)
    # A control has as many numbers of z as it needs; it writes no more for it.
    z_size = len(trained) if generator.kind in ("separate", "general") else generator.z_size
    module = build_generator(generator.kind, network, z_size, generator.bound, **generator.settings)
    z_TD = start_z(generator.z, len(trained), z_size, torch.device("cpu"))
    if generator.settings.get("init") != "published":
        forget_unused(module, z_TD)
    z_TD = z_TD.detach().to(device).requires_grad_(z_TD.requires_grad)
    pixels = normalisation_of(classifier.pixels, info.mean, info.std)
    identity = {
        "experiment": tasks,
        "scheme": experiment.scheme,
        "options": experiment.options,
        "held_out": experiment.held_out,
        "generator": name,
        "kind": generator.kind,
        "bound": generator.bound,
        "z": generator.z,
        "z_size": z_size,
        "generator_settings": generator.settings,
        "seed": seed,
        "classifier": classifier.name,
        "settings": classifier.settings,
        "numbers": module.numbers,
        "parameters": count_parameters(module),
        "macs": count_macs(network, info.channels, info.image_size),
        "dataset": info.name,
        "digest": info.digest,
        "class_names": list(info.class_names),
    }
    print(
        f"{len(trained)} training tasks, {sets.count('val')} held back, {sets.count('test')} held out; {module.numbers} numbers generated"
    )
    trainer = ManyTasks(
        module.to(device),
        network.to(device),
        z_TD,
        trained,
        ClassImages.of(prepared.images_NCHW, samples.label, train_rows, len(info.class_names), pixels, device),
        ClassImages.of(prepared.images_NCHW, samples.label, samples.rows("val"), len(info.class_names), pixels, device),
        training,
        seed_parts,
    )
    key = f"{identity} {experiment} {classifier} {training} {seed_parts} {code}"
    run_epochs(
        trainer, output, epochs=training.steps // training.block, key=key, better=better, early_stop=training.early_stop, device=device
    )
    made = identity | {"generator_digest": module.digest(), "code": code, "versions": versions()}
    write_frame(output / "tasks.parquet", task_columns(built, sets, info.class_names), "hypernetwork_tasks", made)
    header = made | {
        "kind": "generator",
        "asked": experiment.model_dump(mode="json"),
        "pixels": classifier.pixels,
        "generator_kind": generator.kind,
        "architecture": f"hypernetwork {classifier.name}",
        "num_classes": len(info.class_names),
        "channels": info.channels,
        "image_size": info.image_size,
        "mean": list(pixels.mean),
        "std": list(pixels.std),
        "tasks": [i for i, name_of_set in enumerate(sets) if name_of_set == "train"],
        "training": training.model_dump(mode="json"),
    }
    header |= own_sources([classifier.name])
    if info.bits:
        header["bits"] = info.bits  # of 16-bit files: what is learned from later is scaled alike
    save_weights(output / "weights.safetensors", trainer.best_weights(), header)
    (output / "checkpoint.pt").unlink(missing_ok=True)
