"""Stage search_cascade: thresholds of all pairs of networks from their tables, chosen on validation and judged on test.

No network runs here. Shapes: N held-out images, K classes.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from metann.config.cascade import CascadeSearch
from metann.config.statistics import StatisticsSection

TABLES = ("results", "networks", "complementarity", "in_sample", "curves", "chains", "frontier")


def search_cascade(
    *,
    probabilities: list[Path],
    output: Path,
    seed: int | None = None,
    options: Annotated[CascadeSearch, Parameter(name="*")] = CascadeSearch(),
    statistics: StatisticsSection = StatisticsSection(),
) -> None:
    """Search the thresholds of every pair of networks, for every score, answer and objective.

    Writes results.parquet (thresholds fitted on validation images, judged on test images), networks.parquet (each network
    alone), complementarity.parquet, in_sample.parquet (searched and judged on the same images: a bound, not a result),
    curves.parquet (test accuracy and use over the threshold), chains.parquet, and frontier.parquet (of every ordered
    chain those that validation finds worth their cost; empty unless they are searched).

    Parameters
    ----------
    probabilities
        Tables of two or more networks with validation and test images.
    output
        Folder to write into.
    seed
        That the tables have to be of; their own where not given.
    options
        Which cascades are searched, and what for.
    statistics
        Confidence of the intervals.
    """
    import pandas as pd

    from metann.cascade import evaluation
    from metann.cascade.calibration import calibrated
    from metann.cascade.frontier import frontier_rows, how_searched
    from metann.cascade.inputs import read_held_out
    from metann.errors import MetannError
    from metann.tables.frames import write_frame
    from metann.workflow.provenance import stage_code

    held, metadata = read_held_out(probabilities, statistics.confidence, seed)
    names = [network.name for network in held.networks]
    if options.temperature == "validation":
        held, metadata["temperatures"] = calibrated(held)
    both = options.named_pairs() or held.pairs()
    for pair in both:
        if not set(pair) <= set(names):
            raise MetannError(f"pair {':'.join(pair)!r} is not of the form first:second with networks of: {', '.join(names)}")
    ways = options.answers_tried()
    scores, grid, budget, target = list(options.scores), options.grid, options.budget, options.target
    if target == "best_network":
        target = float(held.right(held.better_of(names))[held.val_N].mean())
    for chain in options.chains:
        if not set(chain.networks) <= set(names):
            raise MetannError(f"chain {' > '.join(chain.networks)} names a network without a table; given: {', '.join(names)}")
    described = [evaluation.chain_row(held, c.networks, c.thresholds, c.score, c.answer) for c in options.chains]
    curves = [evaluation.curve_rows(held, pair, scores, ways) for pair in both]
    rows, tried = [], 0
    if options.every_chain:
        rows, tried = frontier_rows(held, scores, ways, options.max_length, options.cross_fit, metadata["seed"])
    tables = {
        "results": pd.DataFrame([row for pair in both for row in evaluation.pair_rows(held, pair, scores, ways, grid, target, budget)]),
        "networks": pd.DataFrame(evaluation.single_rows(held)),
        "complementarity": pd.DataFrame(evaluation.complementarity_rows(held)),
        "in_sample": pd.DataFrame([row for pair in both for row in evaluation.in_sample_rows(held, pair, scores, ways, grid)]),
        "curves": pd.concat([pd.DataFrame(curve) for curve in curves], ignore_index=True),
        "chains": pd.DataFrame(described),
        "frontier": pd.DataFrame(rows),
    }
    metadata |= {"networks": names, "grid": grid, "target": target, "budget": budget, "confidence": statistics.confidence}
    metadata |= {"tried": tried, "max_length": options.max_length, "cross_fit": options.cross_fit}
    metadata |= {"asked": options.model_dump(mode="json"), "code": stage_code("search_cascade")}
    for name in TABLES:
        frame = tables[name]
        frame.insert(0, "seed", metadata["seed"])
        write_frame(output / f"{name}.parquet", frame, f"cascade_{name}", metadata)
    print(f"{len(both)} pairs of {len(names)} networks, {int(held.val_N.sum())} validation and {int((~held.val_N).sum())} test images")
    if tried:
        print(f"{tried:,} settings of {how_searched(len(names), options.max_length)}; {len(rows)} kept")
