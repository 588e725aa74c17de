"""Stage pack: a trained meta neural network as one file."""

from pathlib import Path


def pack(
    run: Path, *, output: Path, seed: int | None = None, dataset_threshold: float | None = None, switch_function: str | None = None
) -> None:
    """Write the switch, the experts and the rule that a run chose on validation into one file, for `metann predict`.

    Parameters
    ----------
    run
        Folder of a finished run, such as results/demo.
    output
        The .safetensors file to write.
    seed
        Whose networks; without it the run's first.
    dataset_threshold
        Whose experts; without it the chosen one.
    switch_function
        Which experts are asked, such as "top_k(2)"; without it the chosen one.
    """
    from metann.errors import MetannError
    from metann.mnn.model import MetaNeuralNetwork

    if not run.is_dir():
        raise MetannError(f"no folder {run}; give the folder of a finished run, such as results/demo")
    if output.suffix != ".safetensors":
        raise MetannError(f"{output} does not end in .safetensors, which is what is written")
    network = MetaNeuralNetwork.load(run, seed=seed, dataset_threshold=dataset_threshold, switch_function=switch_function)
    network.save(output)
    origin, header = network.header["origin"], network.header
    print(f"{output}: switch and {len(network.experts)} experts of {origin['run']}, {header['architecture']}, {header['dataset']},")
    print(f"seed {origin['seed']}, dataset threshold {origin['dataset_threshold']}, {network.rule.switch_function}, {network.rule.combine}")
