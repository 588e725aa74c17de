"""Losses against what they are by definition. N images, K classes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metann.training.objectives import Classification, OneClass, class_probabilities, one_class_log_odds

SMOOTHING = st.sampled_from([0.0, 0.1, 0.5])


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels; 2 to 6 classes."""
    n, classes = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    numbers = st.floats(-12, 12, width=32)
    logits_NK = draw(st.lists(st.lists(numbers, min_size=classes, max_size=classes), min_size=n, max_size=n))
    labels_N = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return torch.tensor(logits_NK), torch.tensor(labels_N)


def softmax(logits_NK: torch.Tensor) -> np.ndarray:
    e_NK = np.exp(logits_NK.double().numpy())
    return e_NK / e_NK.sum(axis=1, keepdims=True)


@given(cases(), SMOOTHING)
def test_classification_is_cross_entropy(case: tuple[torch.Tensor, torch.Tensor], smoothing: float) -> None:
    logits_NK, labels_N = case
    log_p_NK, classes = np.log(softmax(logits_NK)), logits_NK.shape[1]
    target_NK = (1 - smoothing) * np.eye(classes)[labels_N.numpy()] + smoothing / classes
    losses_N = Classification(smoothing).losses(logits_NK, labels_N)
    np.testing.assert_allclose(losses_N, -(target_NK * log_p_NK).sum(axis=1), rtol=1e-4, atol=1e-4)
    oracle = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits_NK, labels_N)
    torch.testing.assert_close(losses_N.mean(), oracle, rtol=1e-5, atol=1e-6)


@given(cases())
def test_right_is_argmax(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits_NK, labels_N = case
    assert Classification().right(logits_NK, labels_N).tolist() == (logits_NK.numpy().argmax(axis=1) == labels_N.numpy()).tolist()


@given(cases(), SMOOTHING, st.data())
def test_one_class_is_binary_cross_entropy_of_the_softmax(
    case: tuple[torch.Tensor, torch.Tensor], smoothing: float, data: st.DataObject
) -> None:
    logits_NK, labels_N = case
    c = data.draw(st.integers(0, logits_NK.shape[1] - 1))
    e_N, is_c_N = softmax(logits_NK)[:, c], (labels_N == c).numpy()
    target_N = is_c_N * (1 - smoothing) + smoothing / 2
    naive_N = -(target_N * np.log(e_N) + (1 - target_N) * np.log1p(-e_N))
    objective = OneClass(c, smoothing)
    np.testing.assert_allclose(objective.losses(logits_NK, labels_N), naive_N, rtol=1e-4, atol=1e-4)
    certain_N = np.abs(e_N - 0.5) > 1e-6
    assert (objective.right(logits_NK, labels_N).numpy() == ((e_N > 0.5) == is_c_N))[certain_N].all()


@given(cases(), st.data())
def test_log_odds(case: tuple[torch.Tensor, torch.Tensor], data: st.DataObject) -> None:
    logits_NK, _ = case
    c = data.draw(st.integers(0, logits_NK.shape[1] - 1))
    p_N = softmax(logits_NK)[:, c]
    np.testing.assert_allclose(one_class_log_odds(logits_NK, c), np.log(p_N) - np.log1p(-p_N), rtol=1e-4, atol=1e-4)


def test_log_odds_do_not_end_where_a_softmax_rounds_to_one() -> None:
    logits_NK = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    assert torch.softmax(logits_NK, dim=1)[0, 0] == 1
    assert one_class_log_odds(logits_NK, 0).item() == pytest.approx(60 - np.log(2))
    loss = OneClass(0).losses(logits_NK, torch.tensor([1])).sum()
    loss.backward()
    assert loss.item() == pytest.approx(60 - np.log(2))
    assert logits_NK.grad[0, 0].item() == pytest.approx(1)


@given(cases())
def test_probabilities_are_the_softmax_in_float64(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    p_NK = class_probabilities(case[0])
    assert p_NK.dtype == torch.float64
    np.testing.assert_allclose(p_NK, softmax(case[0]), rtol=1e-12)


def test_what_chooses_the_best_epoch() -> None:
    assert Classification(0.1).unsmoothed() == Classification()
    assert OneClass(3, 0.1).unsmoothed() == OneClass(3)
    assert (Classification().select_by, OneClass(0).select_by) == ("accuracy", "loss")
