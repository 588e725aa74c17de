"""Stage export_probabilities: a trained network's class probabilities for every image."""

from pathlib import Path
from typing import Literal


def export_probabilities(
    *,
    weights: list[Path],
    data: Path,
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int = 1,
    network: str | None = None,
    seed: int | None = None,
    out_of_fold: bool = False,
) -> None:
    """Write one network's probabilities for all splits, in eval mode.

    Parameters
    ----------
    weights
        One weights.safetensors; with --out-of-fold the networks of all folds, in order.
    data
        Folder made by prepare-data.
    output
        The probabilities.parquet to write.
    device
        Where to compute; auto takes CUDA where it is.
    threads
        Torch threads on the CPU.
    network
        The network that the weights have to be of.
    seed
        The seed that they have to be of; with --out-of-fold it names the folds.
    out_of_fold
        Write the training images only, each as seen by the network whose training left it out.
    """
    from dataclasses import replace

    import numpy as np
    import torch

    from metann.compute.answer import check_numbers
    from metann.compute.inference import infer
    from metann.compute.normalise import Normalisation
    from metann.compute.process import start_torch
    from metann.cost.macs import count_macs, count_parameters
    from metann.data.folds import fold_of
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.seeds import derive_seed
    from metann.tables.notices import accuracy_notices, say
    from metann.tables.probabilities import Probabilities, write_probabilities
    from metann.training.objectives import class_probabilities
    from metann.weights.files import WHOLE, load_weights
    from metann.workflow.provenance import stage_code, versions

    target = start_torch(device, threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    if not out_of_fold and len(weights) != 1:
        raise MetannError(f"{len(weights)} weight files given; one is needed, or --out-of-fold with one for each fold")
    if out_of_fold and seed is None:
        raise MetannError("--out-of-fold needs --seed: it names the folds")
    rows = samples.rows("train") if out_of_fold else np.arange(len(samples))
    parts = fold_of(samples.label[rows], len(weights), derive_seed(seed, "folds")) if out_of_fold else np.zeros(len(rows), np.int64)
    logits_NK = np.zeros((len(rows), len(info.class_names)), np.float32)
    asked_for = {key: value for key, value in (("network", network), ("seed", seed)) if value is not None}
    whole = WHOLE if network is not None else {"class": None}  # a fold by itself is asked for by its path alone
    for part, path in enumerate(weights):
        # Folds in another order would give each image to a network that has seen it.
        place = {"fold": part, "folds": len(weights)} if out_of_fold else whole
        module, header = load_weights(path, expect={"class_names": list(info.class_names)} | asked_for | place)
        mine = np.flatnonzero(parts == part)
        images = torch.from_numpy(np.ascontiguousarray(prepared.images_NCHW[rows[mine]]))
        logits_NK[mine] = infer(module.to(target), images, Normalisation(tuple(header["mean"]), tuple(header["std"]))).numpy()
        check_numbers(f"the network of {path}", logits_NK[mine], samples.sample_id[rows[mine]])
    logits_NK = torch.from_numpy(logits_NK)
    metadata = {
        "dataset": info.name,
        "digest": info.digest,
        "class_names": list(info.class_names),
        "network": header["network"],
        "seed": header["seed"],
        "architecture": header["architecture"],
        "macs": count_macs(module, info.channels, info.image_size),
        "parameters": count_parameters(module),
        "normalisation": {"mean": header["mean"], "std": header["std"]},
        "selection": "out_of_fold" if out_of_fold else "in_sample",
        "versions": versions(),
        "code": stage_code("export_probabilities", architectures=[header["architecture"]]),
    }
    metadata |= {"assumed": header["assumed"]} if header.get("assumed") else {}  # of weights from elsewhere; the page says it
    table = Probabilities(
        samples.sample_id[rows],
        samples.split[rows],
        samples.label[rows],
        metadata,
        p_NK=class_probabilities(logits_NK).float().numpy(),
        log_partition=logits_NK.double().logsumexp(dim=1).float().numpy(),
    )
    notices = accuracy_notices(table)
    write_probabilities(output, replace(table, metadata=metadata | {"notices": notices}))
    for split in sorted(set(table.split)):
        part = table.select(split)
        print(f"{split}: {len(part)} images, accuracy {np.mean(part.p_NK.argmax(axis=1) == part.label):.4f}")
    say(notices)
