"""The sections of trainings: of networks, and of experts."""

from typing import Annotated, Literal

from pydantic import Field

from metann.config.section import NonNegative, Section

Rate = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Many = Annotated[int, Field(ge=1, le=1_000_000_000)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class TrainingSection(Section):
    """One run of the training loop. The published recipe is SGD with Nesterov momentum and a one-cycle rate."""

    epochs: Many = 8
    """Passes over the training images."""
    batch_size: Many = 128
    """Images of one step."""
    learning_rate: Rate = 0.2
    """The peak of the schedule."""
    momentum: Fraction = 0.9
    """Nesterov momentum of SGD; 0 = none."""
    weight_decay: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 5e-4
    """L2 penalty in every step, as torch's SGD applies it."""
    schedule: Literal["one_cycle", "trapezoid", "cosine", "constant"] = "one_cycle"
    """Course of the learning rate."""
    crop_padding: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Pixels of reflected border for random crops; 0 = no crop."""
    flip: bool = True
    """Mirror half of the images left-right."""
    label_smoothing: Fraction = 0.0
    """Share of the target that is spread over all classes."""
    ema: Fraction = 0.0
    """Decay per step of an exponential moving average of the weights; 0 = off."""
    early_stop: NonNegative = 0
    """Stop after this many epochs without a better validation accuracy; 0 = never."""
    compile: bool = False
    """Use torch.compile; on CUDA only."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes CUDA where it is."""
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    """Torch threads of one job; more jobs at once beat more threads."""
