"""Networks for ImageNet: torchvision's own, under the prefix `imagenet_`, with its published weights.

Auxiliary heads are left out (they serve training at full size only), so googlenet and inception_v3 return one tensor in both modes;
these two keep the change of normalisation that their published weights were trained with inside the network (`transform_input`).
Any number of classes can be built; published weights need ImageNet's 1000.
"""

from typing import Any

from torch import nn

from metann.errors import MetannError

NAMES = (
    "imagenet_convnext_small",
    "imagenet_convnext_tiny",
    "imagenet_densenet121",
    "imagenet_densenet161",
    "imagenet_densenet169",
    "imagenet_densenet201",
    "imagenet_googlenet",
    "imagenet_inception_v3",
    "imagenet_mnasnet0_5",
    "imagenet_mnasnet0_75",
    "imagenet_mnasnet1_0",
    "imagenet_mnasnet1_3",
    "imagenet_mobilenet_v3_large",
    "imagenet_mobilenet_v3_small",
    "imagenet_regnet_x_16gf",
    "imagenet_regnet_x_1_6gf",
    "imagenet_regnet_x_3_2gf",
    "imagenet_regnet_x_400mf",
    "imagenet_regnet_x_800mf",
    "imagenet_regnet_x_8gf",
    "imagenet_regnet_y_1_6gf",
    "imagenet_regnet_y_3_2gf",
    "imagenet_regnet_y_400mf",
    "imagenet_regnet_y_800mf",
    "imagenet_regnet_y_8gf",
    "imagenet_resnet101",
    "imagenet_resnet18",
    "imagenet_resnet34",
    "imagenet_resnet50",
    "imagenet_resnext50_32x4d",
    "imagenet_shufflenet_v2_x0_5",
    "imagenet_shufflenet_v2_x1_0",
    "imagenet_shufflenet_v2_x1_5",
    "imagenet_shufflenet_v2_x2_0",
    "imagenet_squeezenet1_0",
    "imagenet_squeezenet1_1",
    "imagenet_swin_s",
    "imagenet_swin_t",
    "imagenet_swin_v2_s",
    "imagenet_swin_v2_t",
)
AUXILIARY = ("googlenet", "inception_v3")


def build(name: str, num_classes: int, channels: int, image_size: int) -> nn.Module:
    """torchvision's network `name` without its prefix.

    Raises:
        MetannError: images that are not in colour, or smaller than the network takes.
    """
    from torchvision.models import get_model

    plain = name.removeprefix("imagenet_")
    least = 75 if plain == "inception_v3" else 32
    if channels != 3 or image_size < least:
        raise MetannError(f"{name} takes colour images of at least {least} pixels, not {channels} channels of {image_size} pixels")
    settings: dict[str, Any] = {"num_classes": num_classes, "weights": None}
    if plain in AUXILIARY:
        settings |= {"aux_logits": False, "transform_input": True, "init_weights": True}
    return get_model(plain, **settings)
