"""A prepared digits dataset and a switch trained on it, through the stages' own functions."""

import csv
from pathlib import Path

from metann.config.data import DataSection
from metann.config.mnn import ExpertSection
from metann.config.network import NetworkSection
from metann.config.training import TrainingSection
from metann.stages.export_probabilities import export_probabilities
from metann.stages.prepare_data import prepare_data
from metann.stages.train_expert import train_expert
from metann.stages.train_network import train_network

NETWORK = NetworkSection(architecture="small_cnn", settings={"width": 4, "depth": 2})
PLAIN = {"crop_padding": 0, "flip": False, "device": "cpu", "batch_size": 64}


def training(**values: object) -> TrainingSection:
    return TrainingSection(**{"epochs": 2, "learning_rate": 0.1} | PLAIN | values)


def expert(**values: object) -> ExpertSection:
    return ExpertSection(**{"epochs": 1, "learning_rate": 0.05} | PLAIN | values)


def prepared(folder: Path) -> Path:
    prepare_data(data=DataSection(name="digits"), output=folder)
    return folder


def switch(data: Path, folder: Path, **arguments: object) -> Path:
    """Train a network; returns its weights file."""
    given = {"name": "switch", "network": NETWORK, "training": training(), "seed": 0} | arguments
    train_network(data=data, output=folder, **given)
    return folder / "weights.safetensors"


def exported(data: Path, weights: Path) -> Path:
    """Export a network's probabilities beside its weights."""
    table = weights.parent / "probabilities.parquet"
    export_probabilities(weights=[weights], data=data, output=table, device="cpu")
    return table


def experts(data: Path, weights: Path, folder: Path, classes: list[int] | None, threshold: float = 0.1, **arguments: object) -> Path:
    """Train experts of a switch whose probabilities lie beside its weights."""
    given = {"probabilities": weights.parent / "probabilities.parquet", "expert": expert(), "seed": 0} | arguments
    train_expert(classes=classes, dataset_threshold=threshold, switch=weights, data=data, output=folder, **given)
    return folder


def without_seconds(path: Path) -> list[dict[str, str]]:
    """The rows of a training.csv but for the time they took."""
    with path.open(newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]
