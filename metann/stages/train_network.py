"""Stage train_network: one ordinary classifier from images to weights. The switch is one; so are the controls."""

from pathlib import Path

from metann.config.network import NetworkSection
from metann.config.training import TrainingSection


def train_network(
    *,
    name: str,
    network: NetworkSection,
    training: TrainingSection,
    data: Path,
    seed: int,
    output: Path,
    fold: int | None = None,
    folds: int = 5,
    epochs_of: Path | None = None,
) -> None:
    """Train one network on the training images and keep the best validation epoch.

    Writes weights.safetensors and training.csv into `output`. Killed at any moment and started again, it resumes from
    its checkpoint and ends with the same weights on the same machine. A network with `weights` is not trained: they
    are checked and copied.

    Parameters
    ----------
    name
        Of the network; part of its seed and its header.
    network
        Architecture and its settings; with `weights` the network is read and not trained.
    training
        Epochs, batch size, learning rate and so on.
    data
        Folder made by prepare-data.
    seed
        Of this run: 0, 1, 2 ...
    output
        Folder to write into.
    fold
        Leave this fold (0 .. folds-1) of the training images out, for out-of-fold probabilities.
    folds
        How many folds there are.
    epochs_of
        What count-training wrote: it says for how many epochs, in place of those of `training`.
    """
    import importlib

    import torch

    from metann.compute.normalise import Normalisation
    from metann.compute.process import start_torch
    from metann.data.folds import fold_of
    from metann.data.prepared import read_prepared
    from metann.errors import MetannError
    from metann.files.digests import FileDigests, own_sources
    from metann.files.headers import read_sealed_json
    from metann.networks._build import build
    from metann.seeds import derive_seed
    from metann.training.classifier import COLUMNS, LabelledImages, train
    from metann.training.history import Length, write_history
    from metann.training.objectives import Classification
    from metann.weights.files import save_weights
    from metann.workflow.outside import digests_of
    from metann.workflow.provenance import stage_code, versions

    if epochs_of is not None:
        training = training.model_copy(update={"epochs": read_sealed_json(epochs_of, Length)["epochs"]})
    device = start_torch(training.device, training.threads)
    prepared = read_prepared(data)
    info, samples = prepared.info, prepared.samples
    code = stage_code("train_network", architectures=[network.architecture], published=network.weights is not None)
    header = {
        "architecture": network.architecture,
        "settings": network.settings,
        "num_classes": len(info.class_names),
        "channels": info.channels,
        "image_size": info.image_size,
        "class_names": list(info.class_names),
        "mean": list(info.mean),
        "std": list(info.std),
        "dataset": info.name,
        "digest": info.digest,
        "network": name,
        "seed": seed,
        "training": training.model_dump(mode="json"),
        "code": code,
        "versions": versions(),
    } | own_sources([network.architecture])
    if info.bits is not None:
        header["bits"] = info.bits  # of 16-bit files: what is predicted later is scaled alike
    if fold is not None:
        if not 0 <= fold < folds:
            raise MetannError(f"fold {fold} is not in 0 .. {folds - 1}; give another --fold, or more --folds")
        header |= {"fold": fold, "folds": folds}
    if network.weights is not None:
        # By name, because mending an address or a hash there trains nothing again.
        published = importlib.import_module("metann.weights.published")
        module, found = published.pretrained(network.architecture, network.weights, header)
        history = []
        foreign = importlib.import_module("metann.weights.foreign")
        seen, assumed = foreign.normalisation((network.mean, network.std), found, header, network.weights)
        header["files"] = digests_of(network, FileDigests())
        header |= found | seen | {"assumed": [*found.get("assumed", ()), *assumed]}
        for sentence in header["assumed"]:
            print(f"assumed: {sentence}")
    else:
        torch.manual_seed(derive_seed(seed, "train_network", name, fold, "weights"))
        module = build(network.architecture, len(info.class_names), info.channels, info.image_size, **network.settings)
        rows = samples.rows("train")
        if fold is not None:
            rows = rows[fold_of(samples.label[rows], folds, derive_seed(seed, "folds")) != fold]
        history = train(
            module.to(device),
            LabelledImages.of(prepared.images_NCHW, samples.label, rows),
            LabelledImages.of(prepared.images_NCHW, samples.label, samples.rows("val")),
            Normalisation(info.mean, info.std),
            Classification(training.label_smoothing),
            training,
            (seed, "train_network", name, fold),
            output,
            key=f"{info.digest} {network.model_dump_json()} {folds} {code}",
        )
    write_history(output / "training.csv", history, COLUMNS)
    save_weights(output / "weights.safetensors", module, header)
    (output / "checkpoint.pt").unlink(missing_ok=True)
