"""Stage adapt: a classifier for a new task from a few images, by moving z alone."""

from pathlib import Path
from typing import Literal


def adapt(
    generator: Path,
    /,
    *,
    negative: Path,
    positive: Path,
    output: Path,
    learning_rate: float | None = None,
    steps: int = 200,
    batch_size: int = 20,
    confidence: float = 0.95,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
) -> None:
    """Write the classifier that tells two folders of images apart, for `metann predict`; the generator stays as it is.

    How sure one can be: the task is learned again without each image (ten times without a tenth of them, where there are many), and
    the image that was left out is classified.

    Parameters
    ----------
    generator
        The weights.safetensors of a generator.
    negative
        Folder of images of the first class.
    positive
        Folder of images of the second class.
    output
        The .safetensors file to write.
    learning_rate
        Of z; without it the one that z_adapt took in the generator's run, at the number of images nearest to these.
    steps
        Of z.
    batch_size
        Images of one step, half of them positive; all where there are fewer.
    confidence
        Of the interval.
    seed
        Of the order of the images.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    """
    import numpy as np
    import torch

    from metann.compute.process import start_torch
    from metann.config.hypernetwork import AdaptationSection
    from metann.config.section import read_section
    from metann.datasets._photos import find_photos
    from metann.datasets._pictures import read_each
    from metann.datasets._search import printable
    from metann.errors import MetannError
    from metann.hypernetwork.few_images import learn_task
    from metann.hypernetwork.images import ClassImages
    from metann.hypernetwork.model import GeneratedClassifier, chosen_rate, load_generator
    from metann.statistics.intervals import wilson_interval

    if output.suffix != ".safetensors":
        raise MetannError(f"{output} does not end in .safetensors, which is what is written")
    settings = read_section(AdaptationSection, {"steps": steps, "batch_size": batch_size, "device": device, "threads": threads}, "adapt")
    place = start_torch(device, threads)
    trained = load_generator(generator, device=place)
    header = trained.header
    found = {folder: find_photos([folder]) for folder in (negative, positive)}
    paths = [*found[negative].pictures, *found[positive].pictures]
    pictures = read_each(paths, header["image_size"], header.get("bits"))
    broken = [f"{printable(path)} ({why})" for folder in found.values() for path, why in folder.problems.items()]
    if broken := [*broken, *pictures.problems.values()]:
        shown = ", ".join(broken[:3]) + (", ..." if len(broken) > 3 else "")
        raise MetannError(f"{len(broken)} images cannot be read: {shown}; repair or remove them, nothing was learned")
    for folder in found.values():
        if folder.skipped:
            print(f"left out: {folder.skipped_text()}")
    images_NCHW = pictures.images_NCHW
    if images_NCHW.shape[1] != header["channels"]:
        kinds = {1: "grey", 3: "coloured"}
        raise MetannError(
            f"the images of {negative} and {positive} are {kinds[images_NCHW.shape[1]]}, the generator's {kinds[header['channels']]}; "
            f"convert them, or use a generator of such images"
        )
    counts = [len(found[negative].pictures), len(found[positive].pictures)]
    labels_N = np.repeat(np.arange(2, dtype=np.int16), counts)
    images = ClassImages.of(images_NCHW, labels_N, np.arange(len(labels_N)), 2, trained.normalisation, place)
    rate, origin = (learning_rate, "as given") if learning_rate is not None else chosen_rate(generator, min(counts))
    learned = learn_task(trained, images, settings, rate, seed)
    if trained.generator.digest() != header["generator_digest"]:
        raise MetannError(f"adapting changed the generator {generator}, which is frozen")
    names = [folder.resolve().name for folder in (negative, positive)]
    names = names if len(set(names)) == 2 else ["negative", "positive"]
    right = int(learned.right_N.sum())
    low, high = wilson_interval(right, len(learned.right_N), confidence)
    checked = {"images": len(learned.right_N), "right": right, "folds": learned.folds, "low": float(low), "high": float(high)}
    with torch.no_grad():
        parameters = trained.generator(learned.z_D[None])
    made = {"images": counts, "checked": checked, "confidence": confidence, "learning_rate": rate, "steps": steps, "seed": seed}
    GeneratedClassifier.written(trained, learned.z_D[None], parameters, names, made).save(output)
    print(f"{output}: {names[0]} ({counts[0]} images) against {names[1]} ({counts[1]}), {header['z_size']} numbers learned")
    print(f"learning rate {rate:g} ({origin}), {steps} steps; the generator's {header['parameters']:,} parameters stayed as they were")
    if not learned.folds:
        print("how sure: not known; a class of one image cannot spare it, give two or more of each")
    else:
        how = "each left out once" if learned.folds == len(labels_N) else f"a tenth left out, {learned.folds} times"
        print(
            f"how sure: {right} of {len(labels_N)} images right while not learned from ({how}): {right / len(labels_N):.0%}, "
            f"and for other images like these between {low:.0%} and {high:.0%} ({confidence:.0%} interval)"
        )
        if low < 0.5:
            print("that is not better than guessing for sure: give more images, or a generator of images more like these")
