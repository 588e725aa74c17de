"""torchvision's Inception v3 (Szegedy et al. 2016) with one 3 x 3 convolution as its stem, for small images (PyTorch_CIFAR10)."""

from torch import nn

from metann.networks._blocks import at_least

NAMES = ("inception_v3",)


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:
    """No auxiliary head; 192 channels at full size enter the first inception block.

    Raises:
        MetannError: images below 7 pixels.
    """
    from torchvision.models import get_model
    from torchvision.models.inception import BasicConv2d

    at_least(name, image_size, 7)
    module = get_model(name, weights=None, num_classes=num_classes, aux_logits=False, init_weights=True)
    module.Conv2d_1a_3x3 = BasicConv2d(channels, 192, kernel_size=3, padding=1)
    nn.init.trunc_normal_(module.Conv2d_1a_3x3.conv.weight, std=0.1, a=-2, b=2)  # as torchvision draws the others
    for part in ("Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"):
        setattr(module, part, nn.Identity())
    return module
