"""The one epoch loop: best epoch, early stop, history, checkpoint and divergence of any training.

What an epoch is, the trainer knows: a pass over images, over tasks, over one phase of a mixture.
"""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metann.errors import MetannError
from metann.training.checkpoint import load_checkpoint, save_checkpoint
from metann.training.history import Row, write_history


class Trainer(Protocol):
    """What is trained, and how one epoch of it goes. `training/classifier.py` is the first."""

    def epoch(self, number: int) -> Mapping[str, float | int | str]:
        """Train epoch `number` (1, 2, ...) and say what happened; a number that is not finite means that the training diverged.

        Every random draw comes from `derive_seed(*seed_parts, ..., number)`, so that a resumed run needs no generator's state.
        """
        ...

    def validate(self) -> Mapping[str, float | int | str]:
        """What the weights that would be kept now are worth; may be nan, where there is nothing to measure on."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors, numbers, texts, None, lists and dicts of them; no numpy."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        ...

    def best_weights(self) -> Mapping[str, Tensor]:
        """The weights to keep if this epoch is the best, such as `module.state_dict()`: the tensors themselves, not copies.

        The loop copies them, and in the end writes those of the best epoch back into them.
        """
        ...


def run_epochs(
    trainer: Trainer,
    folder: Path,
    *,
    epochs: int,
    key: str,
    better: Callable[[Row, Row], bool],
    early_stop: int = 0,
    device: torch.device,
    cure: str = "lower learning_rate",
) -> list[Row]:
    """Train, and leave the tensors of `trainer.best_weights()` as they were after the best epoch.

    Writes `training.csv` (a row per epoch) and `checkpoint.pt` into `folder` after every epoch; a checkpoint of the same key is
    resumed, and the run ends as if it had never stopped. Who calls removes the checkpoint when the outputs are safe.

    Args:
        trainer: see `Trainer`; its columns must not be called `epoch`, `seconds` or `best`.
        key: names everything that the result depends on: settings, seeds, data, start weights, code.
        better: is the first row's epoch better than the best before it, the second row? The first epoch is not asked about.
        early_stop: stop after this many epochs in a row without a better one; 0 = never.
        device: where the trainer's tensors lie.
        cure: what to do when the first epoch diverges, for its message.

    Returns:
        The history: `epoch`, the columns of `epoch()` and of `validate()`, `seconds` of both, `best` (1: it was the best so far).

    Raises:
        MetannError: a number of `epoch()` is not finite before any epoch is whole, or the checkpoint does not fit the trainer.
    """
    checkpoint, table = folder / "checkpoint.pt", folder / "training.csv"
    history: list[Row] = []
    best: dict[str, Tensor] | None = None
    found = load_checkpoint(checkpoint, key, device, {"trainer", "history", "best"})
    if found is not None:
        try:
            trainer.load_state_dict(found["trainer"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise MetannError(f"checkpoint {checkpoint} does not fit this training ({reason}); delete it") from error
        history, best = found["history"], found["best"]
        write_history(table, history)
        print(f"resuming after epoch {len(history)}")
    while len(history) < epochs and not _stops(history, early_stop):
        number, start = len(history) + 1, time.perf_counter()
        trained = _plain(trainer.epoch(number))
        if not all(math.isfinite(value) for value in trained.values() if not isinstance(value, str)):
            if best is None:
                raise MetannError(f"training diverged in its first epoch; {cure}")
            print(f"training diverged in epoch {number}; the best epoch before it is kept")
            break
        row: Row = {"epoch": number} | trained | _plain(trainer.validate())
        row["seconds"] = time.perf_counter() - start
        before = next((earlier for earlier in reversed(history) if earlier["best"]), None)
        row["best"] = int(before is None or better(row, before))
        history.append(row)
        if row["best"]:
            best = copy.deepcopy(dict(trainer.best_weights()))
        save_checkpoint(checkpoint, key, {"trainer": trainer.state_dict(), "history": history, "best": best})
        write_history(table, history)
        print("  ".join(f"{name} {value if isinstance(value, str) else format(value, '.4g')}" for name, value in row.items()), flush=True)
    if best is not None:
        _write_back(trainer, best)
    return history


def _plain(columns: Mapping[str, Any]) -> Row:
    """Columns as Python's own numbers and texts: a checkpoint with others in it could be written and never read."""
    return {name: value if isinstance(value, int | str) else float(value) for name, value in columns.items()}


@torch.no_grad()
def _write_back(trainer: Trainer, best: Mapping[str, Tensor]) -> None:
    kept, again = trainer.best_weights(), trainer.best_weights()
    if copies := [name for name in kept if kept[name].data_ptr() != again[name].data_ptr()]:
        raise TypeError(f"best_weights of {type(trainer).__name__} gives copies ({copies[0]}), not the tensors themselves")
    for name, tensor in kept.items():
        tensor.copy_(best[name])


def _stops(history: list[Row], patience: int) -> bool:
    return bool(patience) and len(history) > patience and not any(row["best"] for row in history[-patience:])


@contextlib.contextmanager
def training_only(module: nn.Module, parameters: Iterable[nn.Parameter] | None = None) -> Iterator[list[nn.Parameter]]:
    """Within the block only these parameters of a module are trained; after it each is frozen, or not, as it was before.

    Args:
        parameters: None is all. Those that are frozen already stay so, named or not.

    Yields:
        The parameters that are trained.

    Raises:
        MetannError: none is.
    """
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    chosen = {id(parameter) for parameter in (module.parameters() if parameters is None else parameters)}
    try:
        for parameter, trained in before:
            parameter.requires_grad_(trained and id(parameter) in chosen)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not trained:
            raise MetannError("all parameters that would be trained are frozen; unfreeze some with requires_grad_(True)")
        yield trained
    finally:
        for parameter, was in before:
            parameter.requires_grad_(was)


def train_mode(module: nn.Module) -> None:
    """Set train mode, but for the parts that hold only frozen parameters: their batch norms keep their statistics."""
    module.train()
    for part in module.modules():
        own = list(part.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            part.eval()
