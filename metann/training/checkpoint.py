"""What a killed training goes on from."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from metann.files import atomic
from metann.training.optimizers import Average, Sgd


@dataclass
class State:
    """Everything that a resumed run needs."""

    module: nn.Module
    optimizer: Sgd
    average: Average | None
    history: list[dict[str, float]]
    best: dict[str, Tensor] | None
    train_losses_N: Tensor

    def save(self, path: Path, key: str) -> None:
        """Write everything, whole or not at all; `key` names the settings, data and code that it belongs to."""
        content = {
            "key": key,
            "module": self.module.state_dict(),
            "velocity": self.optimizer.velocity,
            "average": self.average.module.state_dict() if self.average else None,
            "history": self.history,
            "best": self.best,
            "train_losses_N": self.train_losses_N,
        }
        buffer = io.BytesIO()  # torch's own writer reports a full disk as an internal error
        torch.save(content, buffer)
        with atomic(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load(self, path: Path, key: str, device: torch.device) -> bool:
        """Take over what was saved under the same key; False (and a line in the log) where there is nothing of use."""
        try:
            content = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError:
            return False
        except Exception as error:  # torch.load raises many kinds; whatever it is, training anew is right
            print(f"checkpoint {path} cannot be read ({type(error).__name__}); training starts anew")
            return False
        if not isinstance(content, dict) or content.get("key") != key:
            print(f"checkpoint {path} is of other settings, data or code; training starts anew")
            return False
        self.module.load_state_dict(content["module"])
        self.optimizer.velocity = content["velocity"]
        if self.average:
            self.average.module.load_state_dict(content["average"])
            self.average.steps = 1  # not the first step any more
        self.history, self.best, self.train_losses_N = content["history"], content["best"], content["train_losses_N"]
        print(f"resuming after epoch {len(self.history)}")
        return True
