"""Temperatures over epochs."""

from metann.config.mixture_parts import TEMPERATURES
from metann.function_call import read_call


def temperature_at(text: str, epoch: int, epochs: int) -> float:
    """The temperature of an epoch.

    A number is itself. `decay(start, rate, epoch, floor)`: start up to that epoch, then T <- T / (1 + rate (e - epoch)) in each epoch
    e, never below the floor. `blocks(a, b, ...)`: each for an equal share of the epochs.

    Args:
        text: as configured.
        epoch: 1 .. epochs.
        epochs: of the phase.
    """
    try:
        return float(text)
    except ValueError:
        name, numbers = read_call(text, "temperature", TEMPERATURES)
    if name == "blocks":
        return numbers[(epoch - 1) * len(numbers) // epochs]
    temperature, rate, first, floor = numbers
    for passed in range(int(first) + 1, epoch + 1):
        temperature /= 1 + rate * (passed - first)
    return max(temperature, floor) if epoch > first else temperature
