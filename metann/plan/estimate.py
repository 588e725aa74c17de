"""Times of a run that nobody has done yet, from how long one image takes in each of its networks. Times are seconds."""

from collections.abc import Iterable, Mapping

from metann.config.run import Config
from metann.plan.graph import Times

EXPERT_SET = 1.5  # images of an expert for each image of its class, at the demo's thresholds


def estimated_times(
    config: Config, images: Mapping[str, int], classes: int, speed: Mapping[str, tuple[float, float]], start: float, rules: Iterable[str]
) -> Times:
    """Start of a process, epochs over the training images with a validation each, and the answers that are exported.

    Args:
        config: with a meta neural network, or none.
        images: split -> number.
        classes: K.
        speed: network -> seconds of an image in an epoch, and in an answer.
        start: of a process, with its imports.
        rules: names of the other jobs; each takes no longer than a start.
    """
    whole = sum(images.values())
    networks, exports = {}, {}
    for name, (train, answer) in speed.items():
        networks[name] = start + config.training_of(name).epochs * (images["train"] * train + images["val"] * answer)
        exports[name] = start + whole * answer
    expert = 0.0
    if config.mnn is not None:
        train, answer = speed[config.mnn.switch]
        mine = EXPERT_SET * images["train"] / classes
        expert = config.mnn.expert.epochs * (mine * train + images["val"] * answer) + whole * answer
    return Times(networks, exports, start, expert, rules=dict.fromkeys(rules, start))
