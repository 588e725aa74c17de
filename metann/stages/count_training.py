"""Stage count_training: how long switch and experts were trained, in passes of the switch over its images; for the controls."""

from pathlib import Path


def count_training(*, experts: Path, switch: Path, history: Path, output: Path, second: Path | None = None) -> None:
    """Count the training of a switch and its experts: images seen, each as many times as its network's share of the switch's cost.

    Writes a JSON file with `epochs` (of the switch over all training images that make up the whole training, rounded up; those of a
    second body, where there is one, are among them) and `expert_images` (seen by all experts together).

    Parameters
    ----------
    experts
        Folder of a dataset threshold.
    switch
        The switch's probabilities.
    history
        training.csv of the switch.
    output
        The JSON file to write.
    second
        training.csv of the network that experts start from, where it is not the switch.
    """
    from metann.files.headers import write_sealed_json
    from metann.mnn.inputs import read_trainings
    from metann.mnn.training_length import training_length
    from metann.tables.probabilities import read_probabilities
    from metann.training.history import read_history

    table = read_probabilities(switch)
    epochs = [len(read_history(path)) for path in (history, second) if path is not None]
    trained = read_trainings(experts, table)
    length = training_length(epochs, trained, len(table.rows("train")))
    write_sealed_json(output, length)
    print(f"{length['epochs']} epochs of the switch are the training of switch and experts ({length['expert_images']:,} images of experts)")
