"""One trained classifier as a model: images in, probabilities out. Alone, or as a member of a cascade.

Shapes: N images, C channels, H x H pixels, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metann import layout
from metann.compute.answer import Answer, answer_of, pixels
from metann.compute.inference import infer_ready, ready
from metann.compute.normalise import Normalisation
from metann.cost.macs import count_macs
from metann.errors import MetannError, unknown
from metann.weights.files import load_weights, save_weights

WEIGHTS = f"{layout.NETWORK}/weights.safetensors"


@dataclass(frozen=True, eq=False)
class SingleNetwork:
    """A network with what its weights file says of it.

    Attributes:
        name: as configured.
        module: ready for inference (`of` makes it so), on the device that it runs on.
        macs: multiply-accumulates per image.
        header: of its weights file; channels, image_size, mean and std at least, and the `origin` if it was found in a run.
    """

    name: str
    module: nn.Module
    macs: int
    header: dict[str, Any]

    @classmethod
    def of(cls, module: nn.Module, header: dict[str, Any], name: str = "network") -> "SingleNetwork":
        """A filled network; the header's own name goes before `name`."""
        macs = count_macs(module, header["channels"], header["image_size"])
        return cls(str(header.get("network") or name), ready(module.requires_grad_(False)), macs, header)

    @classmethod
    def read(cls, path: Path, expect: Mapping[str, Any] | None = None) -> "SingleNetwork":
        """Read a weights file, whose header has the values of `expect`; on the CPU.

        Raises:
            MetannError: missing, broken, other than expected, or an expert, who knows one class alone.
        """
        module, header = load_weights(path, expect)
        if "class" in header:
            raise MetannError(f"{path} is an expert for class {header['class']} and knows no other; load the folder of its run")
        if missing := [key for key in ("mean", "std") if header.get(key) is None]:
            raise MetannError(f"the header of {path} lacks {', '.join(missing)} of the training images; make the file again")
        return cls.of(module, header, path.stem)

    @classmethod
    def load(cls, path: Path | str, *, network: str | None = None, seed: int | None = None) -> "SingleNetwork":
        """Read a network of a run, or a weights file; on the CPU.

        Args:
            path: folder of a run, such as results/demo, or a file.
            network: of a run, its name in the configuration.
            seed: of a run; None is its first.

        Raises:
            MetannError: nothing there, a file that is broken, or a network or seed that the run does not have.
        """
        path = Path(path)
        if not path.is_dir():
            if network is not None or seed is not None:
                raise MetannError(f"{path} is one network; give the folder of a run to choose network and seed")
            return cls.read(path)
        known = {(fields["network"], int(fields["seed"])): file for file, fields in layout.found(path, WEIGHTS)}
        seeds = sorted(number for name, number in known if name == network)
        if not seeds:
            raise unknown("network", network, dict.fromkeys(name for name, _ in known), f"the trained networks of {path}")
        seed = seeds[0] if seed is None else seed
        if seed not in seeds:
            raise unknown("seed", seed, seeds, f"`seeds` of the configuration of {path}")
        found = cls.read(known[network, seed], {"network": network, "seed": seed})
        found.header["origin"] = {"run": path.resolve().name, "seed": seed}
        return found

    @property
    def class_names(self) -> list[str]:
        """K names, in label order."""
        return list(self.header.get("class_names") or map(str, range(self.header["num_classes"])))

    @property
    def described(self) -> str:
        """What it is, in one line."""
        origin, header = self.header.get("origin") or {}, self.header
        of = f" of {origin['run']}, seed {origin['seed']}" if origin else ""
        return f"{self.name}{of}, {header['architecture']}, {header.get('dataset', 'unknown dataset')}"

    def to(self, device: torch.device | str) -> "SingleNetwork":
        """Move it to a device."""
        self.module.to(device)
        return self

    def probabilities(self, images_NCHW: Tensor) -> np.ndarray:
        """(N, K) float32, rounded as the tables of a run round them; `images_NCHW` are uint8 pixels on any device."""
        logits_NK = infer_ready(self.module, images_NCHW, Normalisation(tuple(self.header["mean"]), tuple(self.header["std"])))
        return logits_NK.double().softmax(dim=1).float().numpy()

    def answer(self, images_NCHW: Tensor | np.ndarray) -> Answer:
        """Classify a batch.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size.

        Raises:
            MetannError: images of another type or shape.
        """
        p_NK = self.probabilities(pixels(images_NCHW, self.header["channels"], self.header["image_size"]))
        return answer_of(p_NK, np.ones((len(p_NK), 1), bool), [self.macs], [self.name])

    def save(self, path: Path | str) -> None:
        """Write it into one safetensors file, whole or not at all."""
        save_weights(Path(path), self.module, self.header)
