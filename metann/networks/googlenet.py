"""torchvision's GoogLeNet (Szegedy et al. 2015) with one 3 x 3 convolution as its stem, for small images (PyTorch_CIFAR10)."""

from torch import nn

NAMES = ("googlenet",)


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:  # noqa: ARG001  (any size fits)
    """No auxiliary heads; 192 channels at full size enter the first inception block."""
    from torchvision.models import get_model
    from torchvision.models.googlenet import BasicConv2d

    module = get_model(name, weights=None, num_classes=num_classes, aux_logits=False, init_weights=True)
    module.conv1 = BasicConv2d(channels, 192, kernel_size=3, padding=1)
    nn.init.trunc_normal_(module.conv1.conv.weight, std=0.01, a=-2, b=2)  # as torchvision draws the others
    module.conv2, module.conv3, module.maxpool1, module.maxpool2 = (nn.Identity() for _ in range(4))
    module.maxpool3 = nn.MaxPool2d(3, stride=2, padding=1)
    module.maxpool4 = nn.MaxPool2d(3, stride=2, padding=1)
    return module
