"""What a reader has to know of the images and answers of a run: said in the log, kept in metadata, shown on pages.

Sentences, not errors: a class without test images is strange, and may be what somebody wants. N images, K classes.
"""

from collections.abc import Sequence

import numpy as np

from metann.tables.samples import SPLITS, Probabilities

_SHOWN = 5


def shown(names: Sequence[object]) -> str:
    """The first names of many."""
    return ", ".join(str(name) for name in names[:_SHOWN]) + (f", ... ({len(names)} in all)" if len(names) > _SHOWN else "")


def class_notices(split_N: np.ndarray, labels_N: np.ndarray, names: Sequence[str]) -> list[str]:
    """Classes that a split lacks, or of which it has one image only in all."""
    counts = {split: np.bincount(labels_N[split_N == split], minlength=len(names)) for split in SPLITS if (split_N == split).any()}
    said = []
    for split, counts_K in counts.items():
        absent = np.flatnonzero(counts_K == 0)
        if len(absent):
            which = shown([names[c] for c in absent])
            said.append(f"{split} has no image of {len(absent)} of {len(names)} classes ({which}); what is measured there is blind to them")
    total_K = sum(counts.values(), np.zeros(len(names), np.int64))
    single = np.flatnonzero(total_K == 1)
    if len(single):
        which = shown([names[c] for c in single])
        said.append(f"{len(single)} of {len(names)} classes have a single image ({which}); nothing can be learnt and measured on one")
    return said


def is_chance(share: float, n: int, classes: int) -> bool:
    """Whether an accuracy on `n` images is what guessing gives, or less; of fifty images or more within two standard errors."""
    chance = 1 / classes
    noise = 2 * float(np.sqrt(chance * (1 - chance) / n)) if n >= 50 else 0.0
    return share <= chance + noise


def accuracy_notices(table: Probabilities) -> list[str]:
    """Splits in which a network is no better than chance, or always says the same; with the likely causes."""
    names = table.metadata.get("class_names") or [f"c{c}" for c in range(table.p_NK.shape[1])]
    said = []
    for split in SPLITS:
        rows = table.rows(split)
        if not len(rows):
            continue
        answers_n = table.p_NK[rows].argmax(axis=1)
        share = float(np.mean(answers_n == table.label[rows]))
        chance = 1 / len(names)
        if is_chance(share, len(rows), len(names)):
            said.append(
                f"{split}: accuracy {share:.4f} on {len(rows)} images is chance ({chance:.4f} for {len(names)} classes); likely causes: "
                f"another order of the classes (data.classes), another normalisation (mean and std of the network), weights or a table of "
                f"other images, or no training"
            )
        if len(rows) > 1 and len(names) > 1 and (answers_n == answers_n[0]).all() and len(np.unique(table.label[rows])) > 1:
            said.append(f"{split}: the network says {names[answers_n[0]]} of all {len(rows)} images")
    return said


def say(notices: Sequence[str]) -> None:
    """Print notices into the log, where they cannot be overlooked."""
    for notice in notices:
        print(f"WARNING: {notice}")
