"""Stage search_cascade: thresholds of all pairs of networks from their tables, chosen on validation and judged on test.

No network runs here. Shapes: N held-out images, K classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metann.cascade.inputs import read_held_out

if TYPE_CHECKING:
    pass

TABLES = ("results", "networks", "complementarity", "in_sample", "curves", "chains")


def search_cascade(
    *,
    probabilities: list[Path],
    output: Path,
    seed: int | None = None,
    pairs: list[str] | None = None,
    chains: list[str] | None = None,
    scores: list[str] | None = None,
    postcheck: Literal["both", "with", "without"] = "both",
    grid: int = 2000,
    target: float | None = None,
    budget: float | None = None,
    confidence: float = 0.95,
    code: str = "",
) -> None:
    """Search the thresholds of every pair of networks, for every score and objective, with and without post-check.

    Writes results.parquet (thresholds fitted on validation images, judged on test images), networks.parquet (each network
    alone), complementarity.parquet, in_sample.parquet (searched and judged on the same images: a bound, not a result),
    curves.parquet (test accuracy and use over the threshold) and chains.parquet.

    Parameters
    ----------
    probabilities
        Tables of two or more networks with validation and test images.
    output
        Folder to write into.
    seed
        That the tables have to be of; their own where not given.
    pairs
        Each as first:second; all ordered pairs where not given.
    chains
        Cascades of more networks, each a JSON object with networks, thresholds, score and postcheck.
    scores
        Functions of metann/cascade/score_functions.py; all that need no labels where not given.
    postcheck
        Keep the more confident of two answers, always take the second, or try both ways.
    grid
        Points of the published uniform grid, searched beside all distinct scores.
    target
        Accuracy that objective target_accuracy asks for; that of the best single network on validation where not given.
    budget
        Multiply-accumulates per image, for objective budget.
    confidence
        Of every interval.
    code
        Digest of the code, for the metadata (the workflow gives it).
    """
    import pandas as pd

    from metann import registry
    from metann.cascade import evaluation
    from metann.cascade.rule import needs_labels
    from metann.config.cascade import ChainSection
    from metann.config.section import read_section
    from metann.errors import MetannError
    from metann.tables.frames import write_frame

    scores = scores or [name for name in registry.functions("cascade/score_functions.py") if not needs_labels(name)]
    if any(needs_labels(name) for name in scores):
        raise MetannError("the oracle looks at the true class and cannot be searched; it is reported as a bound in any case")
    held, metadata = read_held_out(probabilities, confidence, seed)
    names = [network.name for network in held.networks]
    both = [tuple(pair.split(":")) for pair in pairs or []] or held.pairs()
    for pair in both:
        if len(pair) != 2 or not set(pair) <= set(names):
            raise MetannError(f"pair {':'.join(pair)!r} is not of the form first:second with networks of: {', '.join(names)}")
    ways = {"both": (False, True), "with": (True,), "without": (False,)}[postcheck]
    if target is None:
        target = float(held.right(held.better_of(names))[held.val_N].mean())

    described = []
    for text in chains or []:
        chain = read_section(ChainSection, _json(text), "chain")
        if not set(chain.networks) <= set(names):
            raise MetannError(f"chain {' > '.join(chain.networks)} names a network without a table; given: {', '.join(names)}")
        described.append(evaluation.chain_row(held, chain.networks, chain.thresholds, chain.score, chain.postcheck))
    curves = [evaluation.curve_rows(held, pair, scores, ways) for pair in both]
    tables = {
        "results": pd.DataFrame([row for pair in both for row in evaluation.pair_rows(held, pair, scores, ways, grid, target, budget)]),
        "networks": pd.DataFrame(evaluation.single_rows(held)),
        "complementarity": pd.DataFrame(evaluation.complementarity_rows(held)),
        "in_sample": pd.DataFrame([row for pair in both for row in evaluation.in_sample_rows(held, pair, scores, ways, grid)]),
        "curves": pd.concat([pd.DataFrame(curve) for curve in curves], ignore_index=True),
        "chains": pd.DataFrame(described),
    }
    metadata |= {"networks": names, "grid": grid, "target": target, "budget": budget, "confidence": confidence, "code": code}
    for name in TABLES:
        frame = tables[name]
        frame.insert(0, "seed", metadata["seed"])
        write_frame(output / f"{name}.parquet", frame, f"cascade_{name}", metadata)
    print(f"{len(both)} pairs of {len(names)} networks, {int(held.val_N.sum())} validation and {int((~held.val_N).sum())} test images")


def _json(text: str) -> object:
    import json

    from metann.errors import MetannError

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MetannError(f'chain {text!r} is not JSON ({error}); write it as {{"networks": ["a", "b", "c"]}}') from None
