"""Stage choose: the model of a run for a budget."""

from pathlib import Path


def choose(run: Path, *, macs: float | None = None, ms: float | None = None, accuracy: float | None = None, batch_size: int = 1) -> None:
    """Print the setting, of all families of a run, that validation takes for a budget, what test says of it, and how to pack it.

    Parameters
    ----------
    run
        Folder of a finished run, such as results/demo.
    macs
        At most so many multiply-accumulates an image, on average.
    ms
        At most so many milliseconds an image, as measured in the run.
    accuracy
        At least this accuracy on validation, such as 0.90, at the least multiply-accumulates.
    batch_size
        Of the measured milliseconds: images at once.
    """
    from metann.report.budget import Budget, cheaper_equal, described, pack_command
    from metann.report.budget import choose as choose_model
    from metann.report.inputs import read_candidates

    budget = Budget.given(macs, ms, accuracy)
    models, confidence = read_candidates(run, batch_size)
    pick = choose_model(models, budget)
    families = ", ".join(dict.fromkeys(models["family"]))
    print(f"Of {len(models):,} models ({families}), validation takes for {budget.words}:\n")
    print("\n".join(described(models, pick, confidence)))
    print(f"\n  {pack_command(run, pick)}")
    if (other := cheaper_equal(models, pick, budget)) is not None:
        print("\nThe cheapest that validation cannot tell from it (one standard error):\n")
        print("\n".join(described(models, other, confidence)))
        print(f"\n  {pack_command(run, other)}")
