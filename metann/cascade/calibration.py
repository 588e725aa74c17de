"""Networks that are made as sure as they are right before they are weighed against each other: one temperature each, from validation.

Shapes: N images, K classes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metann.cascade.held_out import HeldOut
from metann.statistics.temperature import apply_temperature, fit_temperature


def tempered(p_NK: np.ndarray, temperature: float) -> np.ndarray:
    """(N, K) float32 probabilities at a temperature, rounded as tables are; 1 leaves them as they are."""
    return p_NK if temperature == 1 else apply_temperature(p_NK, temperature).astype(np.float32)


def tempered_tables(tables: Sequence[np.ndarray], temperatures: Sequence[float]) -> list[np.ndarray]:
    """The tables of a chain at its temperatures; none: as they are."""
    return [tempered(*both) for both in zip(tables, temperatures, strict=True)] if temperatures else list(tables)


def calibrated(held: HeldOut) -> tuple[HeldOut, dict[str, float]]:
    """The networks at the temperature that their validation images say, and these temperatures by name."""
    fitted = {network.name: fit_temperature(network.p_NK[held.val_N], held.labels_N[held.val_N]) for network in held.networks}
    networks = [replace(network, p_NK=tempered(network.p_NK, fitted[network.name])) for network in held.networks]
    return replace(held, networks=networks), fitted
