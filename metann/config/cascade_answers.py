"""Which answer a cascade takes of the networks that it asked: the names of a configuration, and their words on a page."""

from typing import Literal, get_args

from metann.errors import MetannError, unknown

AnswerRule = Literal["second", "more_confident", "mean", "product"]

_WAYS = {
    "second": "without post-check",
    "more_confident": "with post-check",
    "mean": "mean of all answers",
    "product": "product of all answers",
}


def way(answer: str) -> str:
    """An answer in words, the first two by their published names: 'with post-check', of `more_confident`."""
    return _WAYS[answer]


def answer_taken(answer: str, postcheck: bool) -> str:
    """The answer that a rule takes; `more_confident` was published as post-check.

    Raises:
        MetannError: unknown, or one that a post-check contradicts.
    """
    if answer not in get_args(AnswerRule):
        raise unknown("answer", answer, get_args(AnswerRule))
    if postcheck and answer in ("mean", "product"):
        raise MetannError(f"a post-check keeps the more confident of two answers, answer {answer!r} puts them together; give one of them")
    return "more_confident" if postcheck else answer
