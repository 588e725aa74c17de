"""Batched crop, flip and normalisation against one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metann.compute.normalise import normalise
from metann.training.augmentation import random_crop, random_flip

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))]


def images(n=6, channels=3, size=7, dtype=torch.uint8, seed=0):
    return torch.randint(0, 256, (n, channels, size, size), generator=torch.Generator().manual_seed(seed)).to(dtype)


def generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


@given(
    st.integers(0, 5),
    st.sampled_from([1, 3]),
    st.integers(1, 9),
    st.integers(0, 20),
    st.integers(0, 2**31),
    st.sampled_from([torch.uint8, torch.float32]),
)
def test_crop_is_pad_by_reflection_and_cut(n, channels, size, padding, seed, dtype):
    batch = images(n, channels, size, dtype, seed)
    cropped = random_crop(batch, padding, generator(seed))
    assert cropped.dtype == dtype
    assert cropped.shape == batch.shape
    offsets = torch.randint(0, 2 * padding + 1, (2, n), generator=generator(seed)).numpy()
    for i, (top, left) in enumerate(offsets.T):
        border = [(0, 0), (padding, padding), (padding, padding)]
        padded = np.pad(batch[i].numpy(), border, mode="reflect")
        np.testing.assert_array_equal(cropped[i].numpy(), padded[:, top : top + size, left : left + size])


def test_every_offset_is_drawn_equally_often():
    ramp = torch.arange(25, dtype=torch.uint8).view(1, 1, 5, 5).expand(9000, 1, 5, 5)
    centres = random_crop(ramp, 1, generator())[:, 0, 2, 2]
    counts = torch.bincount(centres.long(), minlength=25).view(5, 5)
    assert counts[0].sum() == counts[:, 0].sum() == counts[4].sum() == counts[:, 4].sum() == 0
    assert (counts[1:4, 1:4] - 1000).abs().max() < 150  # 5 standard deviations of a binomial count


def test_flip_mirrors_half_of_the_images_and_leaves_the_others():
    batch = images(2000, 1, 4)
    flipped = random_flip(batch, generator())
    same = (flipped == batch).flatten(1).all(1)
    mirrored = (flipped == batch.flip(-1)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 880 < int(mirrored.sum()) < 1120


@pytest.mark.parametrize("function", [lambda x, g: random_crop(x, 2, g), random_flip])
def test_a_generator_state_names_the_draw(function):
    batch = images(64)
    before = batch.clone()
    state = generator(1)
    first, second = function(batch, state), function(batch, state)
    assert torch.equal(first, function(batch, generator(1)))
    assert not torch.equal(first, second)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_is_the_formula(channels, dtype):
    batch = images(5, channels, 6, dtype)
    before = batch.clone()
    mean, std = (0.4914, 0.4822, 0.4465)[:channels], (0.247, 0.2435, 0.2616)[:channels]
    got = normalise(batch, mean, list(std))
    want = (batch.double() / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-5)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)


def test_normalise_in_inference_mode_leaves_constants_fit_for_training():
    mean, std = (0.123,), (0.456,)
    with torch.inference_mode():
        normalise(images(2, 1), mean, std)
    batch = images(2, 1, dtype=torch.float32).requires_grad_()
    normalise(batch, mean, std).sum().backward()
    torch.testing.assert_close(batch.grad, torch.full_like(batch, 1 / 255 / 0.456))


@pytest.mark.parametrize("device", DEVICES)
def test_layouts_and_devices_agree(device):
    batch = images(16)
    want = normalise(random_flip(random_crop(batch, 2, generator(3)), generator(4)), (0.5,) * 3, (0.25,) * 3)
    for given_batch in (batch.to(device), batch.to(device).contiguous(memory_format=torch.channels_last)):
        got = normalise(random_flip(random_crop(given_batch, 2, generator(3)), generator(4)), (0.5,) * 3, (0.25,) * 3)
        torch.testing.assert_close(got.cpu(), want)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_never_waits():
    batch, draws = images(64).cuda(), generator(0, "cuda")
    normalise(batch, (0.5,) * 3, (0.25,) * 3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        normalise(random_flip(random_crop(batch, 4, draws), draws), (0.5,) * 3, (0.25,) * 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
