"""Small networks with one logit, whose parameters a generator writes.

Shapes: T tasks, N images, C channels, H x W pixels. A classifier holds no state of its own but its parameters: those are given in
every call. Three ways to run T of them, which agree within 1e-5: one after the other, by torch.func.vmap, and as one network with
T groups of channels.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from metann import registry
from metann.errors import MetannError, one_of, unknown
from metann.networks._build import build

Parameters = Mapping[str, Tensor]
OWN = {"published": (), "small": ("width", "depth", "hidden")}


class ConvClassifier(nn.Module):
    """Convolutions of stride 2, each halving the image, then linear layers and one logit.

    Padding is TensorFlow's SAME, which puts the odd pixel right and below: an even image with a 5 x 5 kernel is padded by (1, 2).
    """

    def __init__(
        self, channels: int, image_size: int, widths: tuple[int, ...], kernel: int, hidden: tuple[int, ...], linear_slope: float
    ) -> None:
        """Make the layers, with torch's own initialisation.

        Args:
            widths: channels of the convolutions.
            kernel: pixels of their side.
            hidden: numbers of the linear layers before the output.
            linear_slope: negative slope of the leaky ReLU between linear layers; 1 = no activation, as published.
        """
        super().__init__()
        self.linear_slope, self.padding = linear_slope, []
        before, size = channels, image_size
        self.convolutions = nn.ModuleList()
        for width in widths:
            self.convolutions.append(nn.Conv2d(before, width, kernel, stride=2))
            after = -(-size // 2)
            total = max((after - 1) * 2 + kernel - size, 0)
            self.padding.append((total // 2, total - total // 2) * 2)
            before, size = width, after
        sizes = (before * size * size, *hidden, 1)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N,) logits."""
        x = images_NCHW
        for layer, padding in zip(self.convolutions, self.padding, strict=True):
            x = functional.leaky_relu(layer(functional.pad(x, padding)), 0.2)
        x = x.flatten(1)
        for i, layer in enumerate(self.linears):
            x = functional.leaky_relu(layer(x), self.linear_slope) if i < len(self.linears) - 1 else layer(x)
        return x.squeeze(1)

    def grouped(self, parameters: Parameters, images_TNCHW: Tensor) -> Tensor:
        """(T, N) logits of T networks on their own images each: convolutions with T groups, batched matrix products."""
        tasks, n = images_TNCHW.shape[:2]
        x = images_TNCHW.transpose(0, 1).flatten(1, 2)
        for i, padding in enumerate(self.padding):
            weight, bias = parameters[f"convolutions.{i}.weight"], parameters[f"convolutions.{i}.bias"]
            x = functional.conv2d(functional.pad(x, padding), weight.flatten(0, 1), bias.flatten(), stride=2, groups=tasks)
            x = functional.leaky_relu(x, 0.2)
        x = x.view(n, tasks, -1).transpose(0, 1)
        for i in range(len(self.linears)):
            weight, bias = parameters[f"linears.{i}.weight"], parameters[f"linears.{i}.bias"]
            x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
            if i < len(self.linears) - 1:
                x = functional.leaky_relu(x, self.linear_slope)
        return x.squeeze(2)


class TwoLogits(nn.Module):
    """A network of the zoo for two classes, as one logit: the difference of its two."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N,) logits."""
        logits_N2 = self.network(images_NCHW)
        return logits_N2[:, 1] - logits_N2[:, 0]


def build_classifier(name: str, channels: int, image_size: int, **settings: Any) -> nn.Module:
    """A classifier with freshly drawn weights, in eval mode.

    Args:
        name: `published` (four 5 x 5 convolutions of 16 channels and two linear layers of 100: 37,165 numbers for 3 x 32 x 32), `small`
            (`depth` 3 x 3 convolutions of `width` channels and a linear layer of `hidden`: 1,209 numbers for 1 x 8 x 8) or an
            architecture of metann/networks without batch norm.
        settings: of `small` or of the architecture.

    Raises:
        MetannError: unknown name or setting, a network with batch norm, or images that are too small.
    """
    if name not in OWN:
        if not ("/" in name or registry.own_network(name) or name in registry.architectures()):
            raise unknown("classifier", name, [*OWN, "an architecture without batch norm"], "metann/hypernetwork/classifiers.py")
        network = build(name, 2, channels, image_size, **settings)
        if any(isinstance(part, _BatchNorm) for part in network.modules()):
            raise MetannError(
                f"classifier {name!r} has batch norm, whose running statistics no generator writes; use published, small, or one without"
            )
        return TwoLogits(network).eval()
    for setting in settings:
        if setting not in OWN[name]:
            raise MetannError(f"unknown setting {setting!r} of classifier {name}; known: {one_of(OWN[name]) or 'none'}")
    if name == "published":
        return ConvClassifier(channels, image_size, (16,) * 4, 5, (100, 100), linear_slope=1.0).eval()
    width, hidden = int(settings.get("width", 8)), int(settings.get("hidden", 16))
    depth = int(settings.get("depth", 2 if image_size <= 8 else 3))
    if width < 1 or depth < 1 or hidden < 1 or image_size >> depth < 1:
        raise MetannError(f"classifier small: width {width}, depth {depth}, hidden {hidden} do not fit images of {image_size} pixels")
    return ConvClassifier(channels, image_size, (width,) * depth, 3, (hidden,), linear_slope=0.2).eval()


def answer(classifier: nn.Module, parameters: Parameters, images_TNCHW: Tensor, how: str = "auto") -> Tensor:
    """(T, N) logits of T networks, each on its own N images.

    Args:
        parameters: by name, (T, ...) each.
        images_TNCHW: normalised pixels.
        how: `loop`, `vmap`, `grouped` (only our own classifiers), or `auto`: the fastest that the classifier has.
    """
    if how == "auto":
        how = "grouped" if isinstance(classifier, ConvClassifier) else "vmap"
    if how == "grouped":
        return classifier.grouped(parameters, images_TNCHW)
    if how == "loop":
        each = [{name: value[t] for name, value in parameters.items()} for t in range(len(images_TNCHW))]
        return torch.stack([functional_call(classifier, mine, (images,)) for mine, images in zip(each, images_TNCHW, strict=True)])
    return vmap(lambda mine, images: functional_call(classifier, mine, (images,)), randomness="different")(dict(parameters), images_TNCHW)
