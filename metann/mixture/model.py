"""A trained mixture that really runs: an expert that the gate does not send an image to does no work.

Shapes: N images, C channels, H x H pixels, E experts, K classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metann import layout
from metann.compute.answer import Answer, answer_of, pixels
from metann.compute.normalise import Normalisation
from metann.errors import MetannError, unknown
from metann.mixture.answers import answer
from metann.mixture.network import Mixture
from metann.mixture.run_folder import load_mixture, save_mixture
from metann.tables.frames import read_arrow

WEIGHTS = f"{layout.MIXTURE}/weights.safetensors"
CHOICE = layout.TABLE.replace("{table}", "mixture_choice")
ROLE = "lowest_error"


class MixtureOfExperts:
    """A gate, experts and the rules between them, on one device; always as in evaluation.

    Attributes:
        mixture: the module.
        header: of its file; class_names, channels, image_size, mean, std, gate_macs and expert_macs are used.
    """

    def __init__(self, mixture: Mixture, header: dict[str, Any]) -> None:
        """Take a loaded mixture.

        Raises:
            MetannError: its gate looks at the true class, which no new image has.
        """
        if mixture.setting.gate.needs_labels:
            raise MetannError(
                f"mixture {header['setting']} allocates by the true class (gate {mixture.setting.gate.kind}) and can answer no new image; "
                "take a setting whose last phase has another gate"
            )
        self.mixture, self.header = mixture, header
        self._normalisation = Normalisation(tuple(header["mean"]), tuple(header["std"]))
        self._gate = int(header["gate_macs"] > 0)  # a uniform gate is no part that could run

    @property
    def class_names(self) -> list[str]:
        """K names, in label order."""
        return list(self.header["class_names"])

    @property
    def described(self) -> str:
        """What it is, in two lines."""
        header, route = self.header, self.mixture.setting.route
        return (
            f"{header['experts']} experts of {header['origin']['run']}, {header['architecture']}, {header['dataset']},\n"
            f"seed {header['seed']}, setting {header['setting']}, gate {self.mixture.setting.gate.kind}, routed by {route.eval}"
        )

    def to(self, device: torch.device | str) -> "MixtureOfExperts":
        """Move it to a device."""
        self.mixture.to(device)
        return self

    def answer(self, images_NCHW: Tensor | np.ndarray) -> Answer:
        """Classify a batch: the gate runs on every image, an expert on those that it answers; all of them where the gate needs them.

        Args:
            images_NCHW: uint8 pixels, as in images.npy, of the header's channels and image size.

        Raises:
            MetannError: images of another type or shape.
        """
        images = pixels(images_NCHW, self.header["channels"], self.header["image_size"])
        experts = range(self.header["experts"])
        parts = ["gate"] * self._gate + [f"expert {e}" for e in experts]
        macs_P = [self.header["gate_macs"]] * self._gate + list(self.header["expert_macs"])
        if not len(images):
            return answer_of(np.zeros((0, len(self.class_names))), np.zeros((0, len(parts)), bool), macs_P, parts)
        said = answer(self.mixture, images, self._normalisation)
        ran_NP = np.concatenate([np.ones((len(images), self._gate), bool), said.ran_NE], axis=1)
        return answer_of(said.p_NK.astype(np.float64), ran_NP, macs_P, parts)

    def save(self, path: Path | str) -> None:
        """Write everything into one safetensors file, whole or not at all."""
        save_mixture(Path(path), self.mixture, self.header)

    @classmethod
    def load(cls, path: Path | str, *, seed: int | None = None, setting: str | None = None) -> "MixtureOfExperts":
        """Read the mixture that a run chose on its validation images, or a packed file; on the CPU.

        Args:
            path: folder of a run, such as results/mixture-demo, or a file of `save` (`metann pack`) or of train-mixture.
            seed: of a run; None is its first.
            setting: of a run; None is the one of the lowest error on validation.

        Raises:
            MetannError: nothing there, a file that is broken, or a choice that the run does not have.
        """
        path = Path(path)
        if not path.is_dir():
            if seed is not None or setting is not None:
                raise MetannError(f"{path} is packed: its seed and setting are fixed; give the folder of a run to choose them")
            mixture, header = load_mixture(path)
            return cls(mixture, {"origin": {"run": path.stem, "seed": header["seed"]}} | header)
        if setting is None:
            setting = _chosen(path)
        there = {int(fields["seed"]): file for file, fields in layout.found(path, WEIGHTS, setting=setting)}
        if not there:
            known = {fields["setting"] for _, fields in layout.found(path, WEIGHTS)}
            raise unknown("setting", setting, known, f"`mixture.settings` of the configuration of {path}")
        seed = min(there) if seed is None else seed
        if seed not in there:
            raise unknown("seed", seed, there, f"`seeds` of the configuration of {path}")
        mixture, header = load_mixture(there[seed], {"seed": seed, "setting": setting})
        return cls(mixture, header | {"origin": {"run": path.resolve().name, "seed": seed}})


def _chosen(run: Path) -> str:
    """The setting that validation chose."""
    table = layout.place(run, CHOICE)
    if not table.is_file():
        raise MetannError(f"{run} is not the folder of a finished run of mixtures (no {CHOICE}); give one, or name the setting")
    rows = read_arrow(table, "mixture_choice")[0].to_pylist()
    return next(row["setting"] for row in rows if row["role"] == ROLE)
