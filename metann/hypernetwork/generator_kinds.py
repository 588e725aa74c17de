"""What stands inside a generator: z in, all numbers of a classifier in one row out, before any bound. A kind is one function.

Shapes: T tasks, D numbers of z, P generated numbers. z is expected to be about 1 long (one-hot, or drawn that long). At the start
every kind but the published initialisation writes a He-initialised classifier: `start_P` is one, and what z adds to it has the standard
deviation `scale_P` (He's, of each number's layer) times `spread`. The keyword-only arguments of a function are the settings of its kind.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from metann.errors import MetannError


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be generated.

    Attributes:
        start_P: a He-initialised classifier, as the numbers before the bound.
        scale_P: He's standard deviation sqrt(2 / fan-in) of each number's layer.
        sizes: numbers of each tensor, in order; they sum to P.
    """

    start_P: Tensor
    scale_P: Tensor
    sizes: tuple[int, ...]


class _Affine(nn.Module):
    """b + A z; with a start and no bias of its own: start + A z."""

    def __init__(self, weight_PD: Tensor, bias_P: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_PD)
        self.bias = nn.Parameter(bias_P) if bias_P is not None else None

    def forward(self, z_TD: Tensor) -> Tensor:
        return functional.linear(z_TD, self.weight, self.bias)

    def reads_z(self) -> Tensor | None:
        """The matrix whose columns multiply the numbers of z."""
        return self.weight


class _General(nn.Module):
    """The same classifier whatever z is."""

    def __init__(self, start_P: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(start_P)

    def forward(self, z_TD: Tensor) -> Tensor:
        return self.bias.expand(len(z_TD), -1)

    def reads_z(self) -> Tensor | None:
        """The matrix whose columns multiply the numbers of z."""
        return None


class _LowRank(nn.Module):
    """b + U V z with V of few rows."""

    def __init__(self, up_PR: Tensor, down_RD: Tensor, bias_P: Tensor) -> None:
        super().__init__()
        self.up, self.down, self.bias = nn.Parameter(up_PR), nn.Parameter(down_RD), nn.Parameter(bias_P)

    def forward(self, z_TD: Tensor) -> Tensor:
        return functional.linear(z_TD @ self.down.T, self.up, self.bias)

    def reads_z(self) -> Tensor | None:
        """The matrix whose columns multiply the numbers of z."""
        return self.down


class _Mlp(nn.Module):
    """b + A f(z), f two leaky-ReLU layers."""

    def __init__(self, z_size: int, hidden: int, head: _Affine) -> None:
        super().__init__()
        self.trunk = nn.ModuleList([_unit_layer(z_size, hidden, 1), _unit_layer(hidden, hidden, hidden)])
        self.head = head

    def forward(self, z_TD: Tensor) -> Tensor:
        return self.head(_through(self.trunk, z_TD))

    def reads_z(self) -> Tensor | None:
        """The matrix whose columns multiply the numbers of z."""
        return self.trunk[0].weight


class _Chunked(nn.Module):
    """The numbers in chunks of equal length, each from z and an embedding of its place by the same small network."""

    def __init__(self, z_size: int, hidden: int, embedding: int, chunk: int, scale_P: Tensor) -> None:
        super().__init__()
        chunks = -(-len(scale_P) // chunk)
        self.place = nn.Parameter(torch.randn(chunks, embedding) / embedding**0.5)
        self.trunk = _unit_layer(z_size + embedding, hidden, 2)
        self.head = nn.Linear(hidden, chunk)
        nn.init.normal_(self.head.weight, std=hidden**-0.5)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("scale_P", scale_P, persistent=False)

    def forward(self, z_TD: Tensor) -> Tensor:
        chunks, tasks = len(self.place), len(z_TD)
        both = torch.cat([z_TD[:, None].expand(-1, chunks, -1), self.place.expand(tasks, -1, -1)], dim=2)
        rows = self.head(_through([self.trunk], both)).flatten(1)
        return rows[:, : len(self.scale_P)] * self.scale_P

    def reads_z(self) -> Tensor | None:
        """The matrix whose columns multiply the numbers of z."""
        return self.trunk.weight[:, : -self.place.shape[1]]


def affine(target: Target, z_size: int, *, spread: float = 0.1, init: str = "he") -> nn.Module:
    """One affine head per tensor, as published: P (D + 1) parameters.

    Args:
        target: see `Target`.
        z_size: D.
        spread: of the start, see above.
        init: `he`, or `published`: Glorot-uniform kernels of each head, and zero biases.
    """
    if init == "published":
        kernels = [nn.init.xavier_uniform_(torch.empty(size, z_size)) for size in target.sizes]
        return _Affine(torch.cat(kernels), torch.zeros(len(target.start_P)))
    if init != "he":
        raise MetannError(f"setting init = {init!r} of generator affine; known: he, published")
    return _Affine(_spread(target, z_size, spread, 1), target.start_P.clone())


def mlp(target: Target, z_size: int, *, hidden: int = 64, spread: float = 0.1) -> nn.Module:
    """Two hidden layers of `hidden`, then one affine head per tensor."""
    return _Mlp(z_size, hidden, _Affine(_spread(target, hidden, spread, hidden), target.start_P.clone()))


def chunked(target: Target, z_size: int, *, chunk: int = 512, hidden: int = 64, embedding: int = 8) -> nn.Module:
    """One small network writes `chunk` numbers at a time (von Oswald et al. 2020): fewer parameters than it generates, for large P."""
    return _Chunked(z_size, hidden, embedding, min(chunk, len(target.start_P)), target.scale_P)


def low_rank(target: Target, z_size: int, *, rank: int = 8, spread: float = 0.1) -> nn.Module:
    """A start and `rank` directions: P (rank + 1) + rank D parameters."""
    return _LowRank(_spread(target, rank, spread, 1), torch.randn(rank, z_size) / rank**0.5, target.start_P.clone())


def separate(target: Target, z_size: int) -> nn.Module:
    """No generator at all: a classifier of its own for each task (with a one-hot z), all from one start."""
    return _Affine(target.start_P[:, None].repeat(1, z_size), None)


def general(target: Target, z_size: int) -> nn.Module:  # noqa: ARG001 - every kind takes a size of z
    """No generator at all: one classifier for all tasks."""
    return _General(target.start_P.clone())


def _spread(target: Target, columns: int, spread: float, squares: int) -> Tensor:
    """(P, columns) kernels that add `spread` times He's standard deviation to the output of inputs whose squares sum to `squares`."""
    return torch.randn(len(target.scale_P), columns) * (spread * target.scale_P / squares**0.5)[:, None]


def _unit_layer(inputs: int, outputs: int, squares: int) -> nn.Linear:
    """A layer whose leaky ReLU has mean square 1 over its outputs, where the squares of the inputs sum to `squares`."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=(2 / squares) ** 0.5)
    nn.init.zeros_(layer.bias)
    return layer


def _through(layers: "list[nn.Linear] | nn.ModuleList", x: Tensor) -> Tensor:
    for layer in layers:
        x = functional.leaky_relu(layer(x), 0.01)
    return x
