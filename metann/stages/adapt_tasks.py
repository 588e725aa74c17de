"""Stage adapt_tasks: one arm learns all held-out tasks from a number of images of each class."""

from pathlib import Path

from metann.config.hypernetwork import AdaptationSection


def adapt_tasks(
    *,
    arm: str,
    shots: int,
    weights: Path,
    tasks: Path,
    data: Path,
    adaptation: AdaptationSection,
    seed: int,
    output: Path,
    controls: list[Path] | None = None,
) -> None:
    """Learn the held-out tasks with one arm, all tasks and draws at once, and report on the test images.

    The learning rate is the one that does best on the tasks that were held back for validation, on validation images. Writes
    {arm}_{shots}.parquet and {arm}_{shots}_curve.parquet into `output`.

    Parameters
    ----------
    arm
        What is learned: a function of metann/hypernetwork/arms.py.
    shots
        Images of each class; 0 for an arm that needs none.
    weights
        Of the generator.
    tasks
        The tasks.parquet beside them.
    data
        Folder made by prepare-data.
    adaptation
        Steps, batch size, learning rates and draws.
    seed
        Of this run.
    output
        Folder to write into.
    controls
        Weights of what was trained for this arm alone (of kind separate or general).
    """
    import numpy as np
    import torch

    from metann import registry
    from metann.compute.process import start_torch
    from metann.config.hypernetwork import ARMS, WITHOUT_IMAGES
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError, unknown
    from metann.hypernetwork import arms
    from metann.hypernetwork.adaptation import adapt, all_logits, make_problems
    from metann.hypernetwork.images import ClassImages, seen_before
    from metann.hypernetwork.measures import auc, cross_entropy, steps_to
    from metann.hypernetwork.model import load_generator, read_tasks
    from metann.seeds import derive_seed
    from metann.tables.frames import write_frame
    from metann.workflow.provenance import stage_code, versions

    if arm not in registry.functions(ARMS):
        raise unknown("arm", arm, registry.functions(ARMS), f"metann/{ARMS}")
    if (shots == 0) != (arm in WITHOUT_IMAGES):
        raise MetannError(f"arm {arm} with {shots} shots; {', '.join(WITHOUT_IMAGES)} take 0, all others 1 or more")
    device = start_torch(adaptation.device, adaptation.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    trained = load_generator(weights, {"digest": info.digest, "seed": seed}, device)
    built, sets, described = read_tasks(tasks)
    given = arms.Given(
        trained, {control.header["generator_kind"]: control for control in (load_generator(path, device=device) for path in controls or [])}
    )
    header, classes = trained.header, len(info.class_names)
    if described["generator_digest"] != header["generator_digest"]:
        raise MetannError(f"{tasks} is not of the generator {weights}; give the two that one train-generator wrote")

    test_rows = samples.rows("test")
    learned_from = np.concatenate([samples.rows("train"), samples.rows("val")])
    dropped_N = seen_before(prepared.images_NCHW, test_rows, learned_from)
    images = {
        split: ClassImages.of(prepared.images_NCHW, samples.label, rows, classes, trained.normalisation, device)
        for split, rows in (("train", samples.rows("train")), ("val", samples.rows("val")), ("test", test_rows[~dropped_N]))
    }
    few = [k for task, of in zip(built, sets, strict=True) if of != "train" for k in task[:2] if images["train"].count_K[k] < shots]
    if few:
        raise MetannError(
            f"{shots} shots are more than the {int(images['train'].count_K[few[0]])} training images of class {info.class_names[few[0]]}"
        )
    torch.manual_seed(derive_seed(seed, "adapt_tasks", header["experiment"], header["generator"], arm))
    made = getattr(arms, arm)(given)
    classifier, batches = trained.classifier, (seed, "adapt_tasks", header["experiment"], shots)
    rate, tried = 0.0, {}
    if made.start:
        held_back = [i for i, of in enumerate(sets) if of == "val"]
        problems = make_problems(held_back, built, 1, shots, adaptation.learning_rates, images["train"], seed)
        _, _, curve = adapt(made, classifier, problems, images["train"], images["val"], adaptation, (*batches, "val"), curve=False)
        accuracy_R = curve.test_accuracy_QR[:, -1].reshape(len(adaptation.learning_rates), -1).mean(axis=1)
        loss_R = curve.test_loss_QR[:, -1].reshape(len(adaptation.learning_rates), -1).mean(axis=1)
        tried = {f"{tried_rate:g}": round(float(value), 6) for tried_rate, value in zip(adaptation.learning_rates, accuracy_R, strict=True)}
        rate = adaptation.learning_rates[max(range(len(accuracy_R)), key=lambda r: (accuracy_R[r], -loss_R[r]))]
    held_out = [i for i, of in enumerate(sets) if of == "test"]
    draws = adaptation.draws if shots else 1
    problems = make_problems(held_out, built, draws, shots, [rate], images["train"], seed)
    moved, networks, curve = adapt(made, classifier, problems, images["train"], images["test"], adaptation, batches)

    after = trained.generator.digest()
    if after != header["generator_digest"]:
        raise MetannError(f"arm {arm} changed the generator, which is frozen ({header['generator_digest']} before, {after} after)")
    if made.moves_generator:
        after = trained.generator.digest({name: value[0] for name, value in moved.items()})
    rows: dict[str, list] = {name: [] for name in ("n", "correct", "correct_positive", "n_positive", "cross_entropy", "auc", "steps_to_95")}
    for q in range(len(problems)):
        task = built[int(problems.task_Q[q])]
        logits_N, positive_N = all_logits(classifier, networks, q, images["test"], task.negative, task.positive)
        right_N = (logits_N > 0) == positive_N
        rows["n"].append(len(right_N))
        rows["correct"].append(int(right_N.sum()))
        rows["correct_positive"].append(int((right_N & positive_N).sum()))
        rows["n_positive"].append(int(positive_N.sum()))
        rows["cross_entropy"].append(float(cross_entropy(logits_N, positive_N)))
        rows["auc"].append(auc(logits_N, positive_N))
        rows["steps_to_95"].append(steps_to(curve.steps, curve.test_accuracy_QR[q]))
    count = len(problems)
    metadata = {key: described[key] for key in described if key not in ("code", "versions")} | {
        "arm": arm,
        "shots": shots,
        "draws": draws,
        "steps": adaptation.steps if made.start else 0,
        "learning_rate": rate,
        "rates_tried": tried,
        "start": made.begin,
        "generator_digest_after": after,
        "frozen": not made.moves_generator,
        "dropped_test_images": int(dropped_N.sum()),
        "adaptation": adaptation.model_dump(mode="json"),
        "code": stage_code("adapt_tasks", architectures=[header["classifier"]]),
        "versions": versions(),
    }
    frame = {
        "arm": np.array([arm] * count),
        "shots": np.full(count, shots, np.int32),
        "draw": problems.draw_Q.cpu().numpy().astype(np.int16),
        "task": problems.task_Q.cpu().numpy().astype(np.int16),
        "steps": np.full(count, metadata["steps"], np.int32),
        "learning_rate": np.full(count, rate),
        "trained_numbers": np.full(count, made.trained_numbers, np.int64),
        **{name: np.array(values, np.int32 if isinstance(values[0], int) else np.float64) for name, values in rows.items()},
    }
    write_frame(output / f"{arm}_{shots}.parquet", frame, "hypernetwork_adapt", metadata)
    recorded = len(curve.steps)
    long = {
        "task": frame["task"].repeat(recorded),
        "draw": frame["draw"].repeat(recorded),
        "step": np.tile(np.array(curve.steps, np.int32), count),
        "support_loss": curve.support_loss_QR.ravel(),
        "test_loss": curve.test_loss_QR.ravel(),
        "test_accuracy": curve.test_accuracy_QR.ravel(),
    }
    write_frame(output / f"{arm}_{shots}_curve.parquet", long, "hypernetwork_curve", metadata)
    share = sum(rows["correct"]) / sum(rows["n"])
    print(f"{arm}, {shots} shots: accuracy {share:.4f} over {len(held_out)} tasks and {draws} draws, learning rate {rate:g}, {tried}")
