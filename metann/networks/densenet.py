"""torchvision's DenseNets (Huang et al. 2017) with a 3 x 3 stem of stride 1; the pool after it stays (PyTorch_CIFAR10)."""

from torch import nn

from metann.networks._blocks import at_least

NAMES = ("densenet121", "densenet161", "densenet169")


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:
    """The network of that depth; parameter names are torchvision's.

    Raises:
        MetannError: images below 16 pixels.
    """
    from torchvision.models import get_model

    at_least(name, image_size, 16)
    module = get_model(name, weights=None, num_classes=num_classes)
    stem = nn.Conv2d(channels, module.features.conv0.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight)
    module.features.conv0 = stem
    return module
