"""Stage pack: a trained model as one file."""

from pathlib import Path


def pack(
    run: Path,
    *,
    output: Path,
    family: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    dataset_threshold: float | None = None,
    switch_function: str | None = None,
    setting: str | None = None,
    for_budget: str | None = None,
) -> None:
    """Write the networks and the rule between them that a run chose on validation into one file, for `metann predict`.

    Parameters
    ----------
    run
        Folder of a finished run, such as results/demo.
    output
        The .safetensors file to write.
    family
        Of a run with several: mnn, cascade, mixture; or network for a single one.
    network
        One network of the run alone.
    seed
        Whose networks; without it the run's first.
    dataset_threshold
        Of a meta neural network, whose experts; without it the chosen one.
    switch_function
        Of a meta neural network, which experts are asked, such as "top_k(2)"; without it the chosen one.
    setting
        Of a family, as results.parquet names it; without it the chosen one.
    for_budget
        Instead of all these: what validation takes for macs=3e6, ms=0.5 or accuracy=0.90, of all families (see `metann choose`).
    """
    from metann.errors import MetannError
    from metann.model import load, load_setting
    from metann.report.budget import Budget, choose
    from metann.report.inputs import read_candidates

    if not run.is_dir():
        raise MetannError(f"no folder {run}; give the folder of a finished run, such as results/demo")
    if output.suffix != ".safetensors":
        raise MetannError(f"{output} does not end in .safetensors, which is what is written")
    if for_budget is not None:
        named = {"family": family, "network": network, "seed": seed, "dataset_threshold": dataset_threshold}
        if given := [
            name for name, value in (named | {"switch_function": switch_function, "setting": setting}).items() if value is not None
        ]:
            raise MetannError(f"--for-budget chooses the model; leave --{given[0].replace('_', '-')} out")
        models, _ = read_candidates(run)
        pick = choose(models, Budget.parse(for_budget))
        model = load_setting(run, pick["family"], int(pick["seed"]), pick["load"])
        model.save(output)
        print(f"{output}: {model.described}")
        return
    choice = {"network": network, "seed": seed, "dataset_threshold": dataset_threshold, "switch_function": switch_function}
    choice["setting"] = setting
    model = load(run, family=family, **choice)
    model.save(output)
    print(f"{output}: {model.described}")
