"""Generators and classifiers: published sizes, starts, bounds, and three ways to run many networks. Nothing is trained."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metann.errors import MetannError
from metann.hypernetwork import build_generator
from metann.hypernetwork.classifiers import answer, build_classifier
from metann.hypernetwork.generators import BOUNDS, KINDS
from metann.hypernetwork.many_tasks import forget_unused, start_z, task_losses


@pytest.fixture(scope="module")
def published() -> nn.Module:
    return build_classifier("published", 3, 32)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_published_sizes(published: nn.Module) -> None:
    generator = build_generator("affine", published, 100)
    assert generator.numbers == parameters(published) == 37_165
    assert parameters(generator) == 3_753_665
    theta = generator(torch.eye(100)[:2])
    assert {name: tuple(value.shape[1:]) for name, value in theta.items()} == {
        name: tuple(value.shape) for name, value in published.named_parameters()
    }
    assert all(len(value) == 2 and (value.abs() < 1).all() for value in theta.values())


@pytest.mark.parametrize(
    ("name", "channels", "size", "settings", "numbers"),
    [
        ("small", 1, 8, {}, 1_209),
        ("small", 3, 32, {"width": 16, "hidden": 32}, 13_345),
        ("small", 3, 32, {"width": 32, "hidden": 64}, 52_289),
    ],
)
def test_sizes_of_the_small_classifier(name: str, channels: int, size: int, settings: dict, numbers: int) -> None:
    assert parameters(build_classifier(name, channels, size, **settings)) == numbers


@pytest.mark.parametrize(
    ("kind", "z_size", "settings", "numbers"),
    [
        ("mlp", 16, {}, 16 * 64 + 64 + 64 * 64 + 64 + 37_165 * 65),
        ("low_rank", 16, {}, 37_165 * 9 + 8 * 16),
        ("chunked", 16, {}, 24 * 64 + 64 + 64 * 512 + 512 + 73 * 8),
        ("separate", 98, {}, 98 * 37_165),
        ("general", 98, {}, 37_165),
    ],
)
def test_sizes_of_the_other_kinds(kind: str, z_size: int, settings: dict, numbers: int, published: nn.Module) -> None:
    assert parameters(build_generator(kind, published, z_size, **settings)) == numbers


def test_a_one_hot_z_reads_one_column() -> None:
    """Trap: with a one-hot z the affine generator is a table of networks, theta_k = tanh(A_k + b)."""
    generator = build_generator("affine", build_classifier("small", 1, 8), 5)
    flat_TP = generator.flat(torch.eye(5))
    expected_TP = torch.stack([torch.tanh(generator.inside.weight[:, k] + generator.inside.bias) for k in range(5)])
    torch.testing.assert_close(flat_TP, expected_TP)


@pytest.mark.parametrize("bound", sorted(BOUNDS))
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"chunked"}))
def test_generated_networks_start_as_he_initialised_ones(kind: str, bound: str, published: nn.Module) -> None:
    torch.manual_seed(0)
    generator = build_generator(kind, published, 8, bound)
    theta = generator(torch.nn.functional.normalize(torch.randn(1, 8)) if kind != "separate" else torch.eye(8)[:1])
    for name, value in theta.items():
        if name.endswith("weight"):
            he = (2 / value[0, 0].numel()) ** 0.5
            assert value.std().item() == pytest.approx(he, rel=0.25 if value.numel() < 200 else 0.1), name
        else:
            assert value.abs().max() < 0.35, name


@pytest.mark.parametrize("bound", sorted(BOUNDS))
def test_the_chunked_kind_starts_near_it(bound: str, published: nn.Module) -> None:
    torch.manual_seed(0)
    theta = build_generator("chunked", published, 8, bound)(torch.nn.functional.normalize(torch.randn(1, 8)))
    for name, value in theta.items():
        if name.endswith("weight") and value.numel() > 1000:
            assert value.std().item() == pytest.approx((2 / value[0, 0].numel()) ** 0.5, rel=0.35), name


def test_the_published_start_is_far_from_it(published: nn.Module) -> None:
    """Trap: Glorot's scale by the length of z knows nothing of the classifier; the spec measured these deviations."""
    torch.manual_seed(0)
    theta = build_generator("affine", published, 100, init="published")(torch.eye(100)[:20])
    for name, std in [("convolutions.0", 0.0392), ("convolutions.1", 0.0175), ("linears.0", 0.0175), ("linears.1", 0.0141)]:
        assert theta[f"{name}.weight"].std().item() == pytest.approx(std, rel=0.05)


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(["tanh", "scaled_tanh"]), st.floats(0.1, 100), st.integers(0, 1000))
def test_no_number_leaves_its_bound(kind: str, bound: str, length: float, seed: int) -> None:
    torch.manual_seed(seed)
    generator = build_generator(kind, build_classifier("small", 1, 8), 4, bound)
    flat_TP = generator.flat(torch.randn(3, 4) * length)
    assert (flat_TP.abs() <= generator.limit_P * (1 + 1e-6)).all()


def test_unused_numbers_of_z() -> None:
    """Trap: of 100 numbers 98 are used; the other columns get no gradient and would keep a random start."""
    classifier = build_classifier("small", 1, 8)
    for kind in ("affine", "mlp", "low_rank", "chunked"):
        generator = build_generator(kind, classifier, 6)
        z_TD = start_z("fixed", 4, 6, torch.device("cpu"))
        assert forget_unused(generator, z_TD) == 2
        z = torch.zeros(1, 6)
        moved = z.clone()
        moved[0, 4:] = 7.0
        torch.testing.assert_close(generator.flat(z), generator.flat(moved))
        reader = generator.inside.reads_z()
        (gradient,) = torch.autograd.grad(
            generator.flat(z_TD).sum(), [p for p in generator.parameters() if p.data_ptr() == reader.data_ptr()]
        )
        assert (gradient[:, 4:6] == 0).all()
        assert (gradient[:, :4] != 0).any()


@pytest.mark.parametrize(("name", "channels", "size"), [("published", 3, 32), ("small", 1, 28), ("small", 1, 8), ("small", 3, 15)])
def test_loop_vmap_and_groups_agree(name: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    classifier = build_classifier(name, channels, size)
    generator = build_generator("mlp", classifier, 4)
    theta, images = generator(torch.randn(5, 4)), torch.randn(5, 7, channels, size, size)
    one, two, three = (answer(classifier, theta, images, how) for how in ("loop", "vmap", "grouped"))
    assert one.shape == (5, 7)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one, three, atol=1e-5, rtol=1e-5)


def test_a_network_of_the_zoo() -> None:
    classifier = build_classifier("imagenet_squeezenet1_1", 3, 32)
    theta = {key: torch.stack([value, value * 0.9]) for key, value in classifier.named_parameters()}
    images = torch.randn(2, 3, 3, 32, 32)
    torch.testing.assert_close(answer(classifier, theta, images, "loop"), answer(classifier, theta, images), atol=1e-5, rtol=1e-5)
    generator = build_generator("low_rank", classifier, 2, "scaled_tanh", rank=1)
    assert answer(classifier, generator(torch.randn(2, 2)), images).isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build_classifier("small_cnn", 1, 28), ["small_cnn", "batch norm"]),
        (lambda: build_classifier("smal", 1, 28), ["smal", "small", "published"]),
        (lambda: build_classifier("small", 1, 28, widht=3), ["widht", "width"]),
        (lambda: build_classifier("small", 1, 4, depth=3), ["depth 3", "4 pixels"]),
        (lambda: build_generator("afine", nn.Linear(2, 1), 4), ["afine", "affine", "mlp"]),
        (lambda: build_generator("affine", nn.Linear(2, 1), 4, "relu"), ["relu", "scaled_tanh"]),
        (lambda: build_generator("mlp", nn.Linear(2, 1), 4, rank=3), ["rank", "hidden"]),
        (lambda: build_generator("affine", nn.Linear(2, 1), 0), ["z_size 0"]),
        (lambda: build_generator("affine", nn.Linear(2, 1), 4, init="her"), ["her", "published"]),
        (lambda: start_z("fixed", 99, 16, torch.device("cpu")), ["99", "z_size"]),
    ],
)
def test_bad_settings_are_refused_in_one_line(call, words: list[str]) -> None:
    with pytest.raises(MetannError) as error:
        call()
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


@given(st.integers(0, 100))
def test_a_network_and_its_labels_reversed(seed: int) -> None:
    """For any fixed network the accuracies on a task and on its mirror sum to 1: what does not use z is at 0.5 on average."""
    torch.manual_seed(seed)
    classifier = build_classifier("small", 1, 8)
    generator = build_generator("mlp", classifier, 4)
    images = torch.randn(1, 40, 1, 8, 8)
    says_N = answer(classifier, generator(torch.randn(1, 4)), images)[0] > 0
    truth_N = torch.arange(40) >= 20
    accuracy, mirrored = (says_N == truth_N).float().mean(), (says_N == ~truth_N).float().mean()
    assert accuracy + mirrored == pytest.approx(1)


def test_losses_are_per_task() -> None:
    """Trap: a mean over tasks would divide the gradient of each z by their number."""
    torch.manual_seed(0)
    z_TD = torch.randn(3, 4, requires_grad=True)
    classifier = build_classifier("small", 1, 8)
    generator = build_generator("mlp", classifier, 4)
    images = torch.randn(3, 6, 1, 8, 8)
    truth_N = torch.tensor([0.0, 0, 0, 1, 1, 1])
    task_losses(answer(classifier, generator(z_TD), images), truth_N).sum().backward()
    alone = z_TD.detach()[1:2].clone().requires_grad_(True)
    task_losses(answer(classifier, generator(alone), images[1:2]), truth_N).sum().backward()
    torch.testing.assert_close(z_TD.grad[1], alone.grad[0], atol=1e-6, rtol=1e-4)
