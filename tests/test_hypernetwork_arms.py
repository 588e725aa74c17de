"""Arms: what moves, that nothing else does, and that all problems are learned as each would be alone."""

import numpy as np
import pytest
import torch
from hypernetwork_small import class_images, given
from hypothesis import given as drawn
from hypothesis import strategies as st

from metann import registry
from metann.config.hypernetwork import ARMS, CONTROLS, AdaptationSection
from metann.errors import MetannError
from metann.hypernetwork import arms
from metann.hypernetwork.adaptation import adapt, all_logits, make_problems
from metann.hypernetwork.images import targets
from metann.hypernetwork.many_tasks import answer_in_pieces, task_losses
from metann.hypernetwork.optimizers import Adam, Sgd
from metann.hypernetwork.schemes import Task

NAMES = sorted(registry.functions(ARMS))
MOVING = [name for name in NAMES if name not in ("zero_shot", "general_net", "best_trained_z")]
TASKS = [Task(0, 1, False), Task(2, 3, False), Task(4, 5, False), Task(1, 0, True)]
SETTINGS = AdaptationSection(steps=8, batch_size=6, learning_rates=(0.01,), draws=2, curve_images=5, device="cpu")
P, D = 1209, 4


def learn(name: str, problems=None, settings: AdaptationSection = SETTINGS, made=None):
    torch.manual_seed(3)
    made = made or getattr(arms, name)(given())
    problems = problems or make_problems([0, 2], TASKS, 2, 5, [0.01], class_images(), 0)
    images, test = class_images(), class_images(10, seed=1)
    return made, problems, *adapt(made, given().trained.classifier, problems, images, test, settings, (0, "test"))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("zero_shot", 0),
        ("best_trained_z", 0),
        ("general_net", 0),
        ("z_adapt", D),
        ("z_adapt_random_generator", D),
        ("random_subspace", D),
        ("pca_subspace", 3),  # at most one fewer than there are separately trained networks
        ("probe_last", 17),
        ("bias_only", 8 + 8 + 16 + 1),
        ("finetune_net", P),
        ("scratch_net", P),
        ("full_generator", 4 * 64 + 64 + 64 * 64 + 64 + P * 65 + D),
        ("repo_bug", 4 * 64 + 64 + 64 * 64 + 64 + P * 65 + D),
    ],
)
def test_numbers_trained(name: str, numbers: int) -> None:
    assert getattr(arms, name)(given()).trained_numbers == numbers


def test_every_arm_is_counted_above() -> None:
    counted = {mark.args[1][i][0] for mark in test_numbers_trained.pytestmark for i in range(len(mark.args[1]))}
    assert counted == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_is_frozen(name: str) -> None:
    before = given().trained.generator.digest()
    made, _, moved, networks, curve = learn(name)
    start = getattr(arms, name)
    assert given().trained.generator.digest() == before
    assert all(len(value) == 4 for value in networks.values())
    assert curve.test_accuracy_QR.shape == (4, len(curve.steps))
    assert np.isfinite(curve.test_loss_QR).all()
    for key, value in moved.items():
        assert not torch.equal(value, made.start[key].expand_as(value)), f"{key} of {start.__name__} did not move"


@pytest.mark.parametrize("name", MOVING)
def test_the_given_generator_itself_keeps_its_bytes(name: str) -> None:
    have = given()
    before = have.trained.generator.digest()
    torch.manual_seed(3)
    made = getattr(arms, name)(have)
    _, _, moved, _, _ = learn(name, made=made)
    assert have.trained.generator.digest() == before
    weights = {key: value[0] for key, value in moved.items()} if made.moves_generator else {}
    assert (have.trained.generator.digest(weights) != before) == made.moves_generator


def test_the_published_way_is_caught() -> None:
    """The published code gave its optimizer everything, and called the generator frozen; its bytes say otherwise."""
    have = given()
    generator = have.trained.generator.requires_grad_(True)
    before = generator.digest()
    z = have.z_mean.repeat(2, 1).requires_grad_(True)
    optimizer = Adam([z, *generator.parameters()])
    images = class_images()
    rows = images.first(torch.tensor([0, 2]), torch.tensor([1, 3]), 3)
    task_losses(answer_in_pieces(have.trained.classifier, generator(z), images, rows), targets(6, z.device)).sum().backward()
    optimizer.step(1e-4)
    assert generator.digest() != before


@pytest.mark.parametrize("optimizer", [Adam, Sgd])
@pytest.mark.parametrize("name", ["z_adapt", "finetune_net", "probe_last", "full_generator"])
def test_problems_do_not_know_of_each_other(name: str, optimizer: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: an average over problems would make each one's step depend on how many there are; Adam alone would hide it."""
    monkeypatch.setattr("metann.hypernetwork.adaptation.Adam", optimizer)
    made, problems, together, _, _ = learn(name)
    settings = SETTINGS.model_copy(update={"batch_size": 10})  # the whole support: no draws of batches
    _, _, together, _, _ = learn(name, problems, settings, made)
    for q in (0, 3):
        _, _, alone, _, _ = learn(name, problems.part(q, q + 1), settings, made)
        for key, value in alone.items():
            torch.testing.assert_close(value[0], together[key][q], atol=2e-5, rtol=2e-4)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, problems, whole, _, curve = learn("finetune_net")
    monkeypatch.setattr("metann.hypernetwork.adaptation.MOST_NUMBERS", P)
    _, _, pieces, _, curve_of_pieces = learn("finetune_net", problems, made=made)
    for key, value in whole.items():
        torch.testing.assert_close(value, pieces[key], atol=2e-5, rtol=2e-4)
    np.testing.assert_allclose(curve.test_loss_QR, curve_of_pieces.test_loss_QR, rtol=1e-3, atol=1e-4)


def test_every_problem_takes_its_own_rate() -> None:
    problems = make_problems([0], TASKS, 1, 5, [0.001, 0.1], class_images(), 0)
    made, _, moved, _, _ = learn("z_adapt", problems)
    small, large = (moved["z"] - made.start["z"]).abs().max(dim=1).values
    assert 0 < small < 0.01 < large


@drawn(st.integers(1, 30), st.integers(1, 30), st.integers(0, 50))
def test_draws_are_nested_and_balanced(fewer: int, more: int, seed: int) -> None:
    fewer, more = sorted((fewer, more))
    images = class_images()
    small, large = (make_problems([0, 3], TASKS, 3, shots, [0.1], images, seed) for shots in (fewer, more))
    for few_S, many_S, negative, positive in zip(small.support_QS, large.support_QS, small.negative_Q, small.positive_Q, strict=True):
        assert len(set(few_S.tolist())) == 2 * fewer
        assert set(few_S.tolist()) <= set(many_S.tolist())
        assert set(few_S[:fewer].tolist()) <= set(images.rows(int(negative)).tolist())
        assert set(few_S[fewer:].tolist()) <= set(images.rows(int(positive)).tolist())
    again = make_problems([0, 3], TASKS, 3, fewer, [0.1], images, seed)
    assert torch.equal(again.support_QS, small.support_QS)
    other = make_problems([0, 3], TASKS, 3, 10, [0.1], images, seed + 1)
    assert not torch.equal(other.support_QS, make_problems([0, 3], TASKS, 3, 10, [0.1], images, seed).support_QS)


def test_a_random_subspace_is_as_sensitive_as_z() -> None:
    have = given()
    torch.manual_seed(0)
    made = arms.random_subspace(have)
    origin = made.networks({"z": torch.zeros(1, D)})
    own = have.trained.generator(have.z_mean[None])
    for name, value in origin.items():
        torch.testing.assert_close(value, own[name])
    epsilon = 1e-3
    there = [made.networks({"z": epsilon * torch.eye(D)}), have.trained.generator(have.z_mean + epsilon * torch.eye(D))]
    for name, value in own.items():
        mine, z = (((moved[name] - value) / epsilon).square().sum(dim=0).sqrt() for moved in there)
        torch.testing.assert_close(mine, z, rtol=0.05, atol=0.02)


def test_pca_directions_are_those_of_separate_networks() -> None:
    have = given()
    made = arms.pca_subspace(have)
    theta_TP = have.controls["separate"].generator.flat(torch.eye(4))
    mean_P = torch.cat([value.flatten() for value in made.networks({"z": torch.zeros(1, 3)}).values()])
    torch.testing.assert_close(mean_P, theta_TP.mean(dim=0).detach(), atol=1e-5, rtol=1e-4)
    axes = torch.cat([value.flatten(1) for value in made.networks({"z": torch.eye(3)}).values()], dim=1) - mean_P
    solution = torch.linalg.lstsq(axes.T, (theta_TP - mean_P).T.detach()).solution
    torch.testing.assert_close(axes.T @ solution, (theta_TP - mean_P).T.detach(), atol=1e-4, rtol=1e-3)


def test_the_best_trained_z_is_chosen_on_the_images() -> None:
    have = given()
    _, problems, _, networks, _ = learn("best_trained_z")
    for q, support_S in enumerate(problems.support_QS):
        rows = support_S.expand(4, -1)
        candidates = have.trained.generator(have.trained.z_TD)
        logits = answer_in_pieces(have.trained.classifier, candidates, class_images(), rows)
        losses = task_losses(logits, targets(10, rows.device))
        best = have.trained.generator(have.trained.z_TD[losses.argmin()][None])
        for name, value in best.items():
            torch.testing.assert_close(networks[name][q], value[0])


@pytest.mark.parametrize("arm", sorted(CONTROLS))
def test_a_control_that_is_not_there(arm: str) -> None:
    with pytest.raises(MetannError, match=CONTROLS[arm]):
        getattr(arms, arm)(arms.Given(given().trained))


def test_all_images_of_a_task_are_answered() -> None:
    _, _, _, networks, _ = learn("finetune_net", settings=SETTINGS.model_copy(update={"steps": 40}))
    test = class_images(10, seed=1)
    logits_N, positive_N = all_logits(given().trained.classifier, networks, 0, test, 0, 1)
    assert len(logits_N) == 20
    assert positive_N.tolist() == [False] * 10 + [True] * 10
    assert ((logits_N > 0) == positive_N).mean() > 0.8  # the blobs can be learned


@pytest.mark.parametrize("kind", ["affine", "mlp", "chunked", "low_rank"])
def test_the_random_generator_is_another_one_whose_z_reaches_far(kind: str) -> None:
    have = given(kind=kind)
    torch.manual_seed(5)
    made = arms.z_adapt_random_generator(have)
    there = torch.nn.functional.normalize(torch.randn(20, D), dim=1)
    mine, trained = (
        torch.cat([value.flatten(1) for value in of.values()], dim=1) for of in (made.networks({"z": there}), have.trained.generator(there))
    )
    assert not torch.allclose(mine.mean(dim=0), trained.mean(dim=0), atol=1e-3)
    if kind != "chunked":
        assert mine.std(dim=0).mean() > 3 * trained.std(dim=0).mean()
