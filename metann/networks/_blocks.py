"""Pieces that several families share."""

from torch import Tensor, nn

from metann.errors import MetannError


def conv_norm(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias that keeps the size (at stride 1), and its batch norm."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(after)]


def initialise(module: nn.Module, linear_std: float | None = None) -> None:
    """He initialisation of convolutions by fan-out, biases zero; linear layers normal with `linear_std`, or torch's default."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear) and linear_std is not None:
            nn.init.normal_(part.weight, 0.0, linear_std)
            nn.init.zeros_(part.bias)


def pooled(features_NCHW: Tensor) -> Tensor:
    """Mean over all pixels: N x C."""
    return features_NCHW.mean(dim=(2, 3))


def at_least(name: str, image_size: int, least: int) -> None:
    """Refuse images that leave the last stage without a pixel.

    Raises:
        MetannError: `image_size` is below `least`.
    """
    if image_size < least:
        raise MetannError(f"{name} takes images of at least {least} pixels, not {image_size}; resize the data or choose a smaller network")
