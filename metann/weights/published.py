"""Weights that others have published, with the normalisation and class order they were trained with.

CIFAR: the release files of chenyaofo/pytorch-cifar-models, whose names carry the first eight hex digits of their SHA-256.
ImageNet: torchvision's. PyTorch_CIFAR10's archives are on no address that a program can fetch; its state_dicts load as local files.
Downloads are kept in $METANN_CACHE, by default ~/.cache/metann.
"""

import hashlib
import os
import re
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

from torch import nn

from metann.errors import MetannError
from metann.files.atomic import atomic
from metann.registry import TIMM
from metann.weights import pretrained_timm, published_imagenet
from metann.weights.files import check_header, fill, own_header
from metann.weights.foreign import load_checkpoint
from metann.weights.unfilled import build_unfilled

ADDRESS = "https://github.com/chenyaofo/pytorch-cifar-models/releases/download/{family}/{dataset}_{name}-{hash8}.pt"
TIMEOUT = 30.0  # seconds without an answer


class Recipe(NamedTuple):
    """What a network must see to score as published: class order and normalisation of pixel values in [0, 1]."""

    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


RECIPES = {
    "cifar10": Recipe(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        (0.4914, 0.4822, 0.4465),
        (0.2023, 0.1994, 0.2010),
    ),
    "cifar100": Recipe(
        tuple(
            """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
            caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
            forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
            mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
            possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
            sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
            willow_tree wolf woman worm""".split()  # noqa: SIM905
        ),
        (0.507, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2761),
    ),
}

HASHES = {  # name: cifar10, cifar100
    "resnet20": ("4118986f", "23dac2f1"),
    "resnet32": ("ef93fc4d", "84213ce6"),
    "resnet44": ("2a3cabcb", "ffe32858"),
    "resnet56": ("187c023a", "f2eff4c8"),
    "vgg11_bn": ("eaeebf42", "57d0759e"),
    "vgg13_bn": ("c01e4a43", "5ebe5778"),
    "vgg16_bn": ("6ee7ea24", "7d8c4031"),
    "vgg19_bn": ("57191229", "b98f7bd7"),
    "mobilenetv2_x0_5": ("ca14ced9", "9f915757"),
    "mobilenetv2_x0_75": ("a53c314e", "d7891e60"),
    "mobilenetv2_x1_0": ("fe6a5b48", "1311f9ff"),
    "mobilenetv2_x1_4": ("3bbbd6e2", "8a269f5e"),
    "shufflenetv2_x0_5": ("1308b4e9", "1977720f"),
    "shufflenetv2_x1_0": ("98807be3", "9ae22beb"),
    "shufflenetv2_x1_5": ("296694dd", "e2c85ad8"),
    "shufflenetv2_x2_0": ("ec31611c", "e7e584cd"),
    "repvgg_a0": ("ef08a50e", "2df1edd0"),
    "repvgg_a1": ("38d2431b", "c06b21a7"),
    "repvgg_a2": ("09488915", "8e71b1f8"),
}


def pretrained(architecture: str, weights: str, header: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network of `header` with weights from elsewhere, and what travels with them.

    Args:
        architecture: its name.
        weights: 'published' (CIFAR nets), 'pretrained' (timm), torchvision's name such as IMAGENET1K_V1 (imagenet_*), or a local file.
        header: num_classes, channels, image_size, settings and class_names of the data it will see.

    Returns:
        The module in eval mode; and {mean, std, class_names, weights} as far as known, to be laid over the header.

    Raises:
        MetannError: nothing published under that name, another class order, no connection, a damaged or unfitting file.
    """
    header = {**header, "architecture": architecture}
    if architecture.startswith(TIMM) and weights == "pretrained":
        return pretrained_timm.pretrained(architecture, header)
    if architecture.startswith("imagenet_") and re.fullmatch(r"[A-Z][A-Z0-9_]*", weights):
        return published_imagenet.pretrained(architecture, weights, header)
    if weights == "published":
        return _published(architecture, header)
    return _local(architecture, Path(weights), header)


def _local(architecture: str, path: Path, header: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    ours = path.suffix.lower() == ".safetensors"
    own = own_header(path) if ours else {}
    if own.get("kind") is not None:
        raise MetannError(f"{path} holds a {own['kind']} and not one network; give the weights.safetensors of train-network as `weights`")
    check_header(path, own, {"class": None})  # an expert knows whether an image is of its class
    module = build_unfilled(header)
    state, assumed = load_checkpoint(path, module.state_dict())
    found: dict[str, Any] = {"weights": str(path)}
    if ours:
        same = ("architecture", "settings", "num_classes", "channels", "class_names")
        check_header(path, own, {key: header[key] for key in same if key in header and own.get(key) is not None})
        found |= {key: own[key] for key in ("mean", "std") if own.get(key) is not None}
    elif recipe := _recipe(path, architecture):  # a published file, fetched by hand
        check_header(path, {"class_names": recipe.class_names}, {"class_names": header.get("class_names")})
        found |= {"mean": list(recipe.mean), "std": list(recipe.std)}
    if not own.get("class_names") and "class_names" in header and header["class_names"]:
        names = ", ".join(map(str, header["class_names"][:3]))
        assumed.append(f"its classes are those of the data in their order ({names}, ...); data.classes gives another order")
    return fill(module, state, path, architecture), found | ({"assumed": assumed} if assumed else {})


def _recipe(path: Path, architecture: str) -> Recipe | None:
    hashes = zip(RECIPES.values(), HASHES.get(architecture, ()), strict=False)
    return next((recipe for recipe, hash8 in hashes if _starts_with(path, hash8)), None)


def _published(architecture: str, header: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    if architecture not in HASHES:
        raise MetannError(f"nothing to fetch for {architecture}; published: {', '.join(HASHES)}; or give a local file as `weights`")
    names = tuple(header.get("class_names") or ())
    dataset = next((name for name, recipe in RECIPES.items() if recipe.class_names == names), None)
    if dataset is None or header["channels"] != 3:
        raise MetannError(
            f"published weights of {architecture} know the classes of cifar10 or cifar100 in their order, in colour; "
            f"the data has {header['channels']} channels and {', '.join(names[:3]) or 'no class names'} ...; use that data, or train"
        )
    path = fetch(address(architecture, dataset), HASHES[architecture][list(RECIPES).index(dataset)])
    module = fill(build_unfilled(header), load_checkpoint(path)[0], path, architecture)
    recipe = RECIPES[dataset]
    return module, {"mean": list(recipe.mean), "std": list(recipe.std), "class_names": list(names), "weights": f"published {path.name}"}


def address(architecture: str, dataset: str) -> str:
    """Where the release file of a network and data set lies."""
    hash8 = HASHES[architecture][list(RECIPES).index(dataset)]
    family = re.match("[a-z]+v2|[a-z]+", architecture).group()  # the release's tag: resnet, vgg, mobilenetv2, ...
    return ADDRESS.format(family=family, dataset=dataset, name=architecture, hash8=hash8)


def cache_folder() -> Path:
    """Where downloads are kept."""
    if given := os.environ.get("METANN_CACHE"):
        return Path(given).expanduser()
    try:
        return Path.home() / ".cache" / "metann"
    except RuntimeError:  # no HOME, and no entry of this user in the system
        return Path(gettempdir()) / f"metann-cache-{os.getuid()}"


def _starts_with(path: Path, hash8: str) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(hash8)


def fetch(url: str, hash8: str) -> Path:
    """The file at `url` in the cache, downloaded if it is not there; its SHA-256 must begin with `hash8`.

    Raises:
        MetannError: no connection, no such file, or another content than was published.
    """
    path = cache_folder() / url.rsplit("/", 1)[1]
    if path.is_file() and _starts_with(path, hash8):
        return path
    with atomic(path) as temporary:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:  # also a refused or unknown address
            reason = getattr(error, "reason", error)
            raise MetannError(f"cannot fetch {url}: {reason}; connect, or put the file at {path}, or give it as `weights`") from None
        if not _starts_with(temporary, hash8):
            raise MetannError(f"{url} is not the file that was published (its SHA-256 does not begin with {hash8}); nothing was kept")
    return path
