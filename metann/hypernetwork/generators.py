"""Generators: networks that write all parameters of a classifier from a small vector z.

Shapes: T tasks, D numbers of z, P generated numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metann.errors import MetannError, one_of, unknown
from metann.hypernetwork import generator_kinds
from metann.hypernetwork.generator_kinds import Target
from metann.registry import keyword_settings
from metann.tables.probabilities import digest_of

KINDS: dict[str, Callable[..., nn.Module]] = {
    kind: getattr(generator_kinds, kind) for kind in ("affine", "mlp", "chunked", "low_rank", "separate", "general")
}
# Limit of each generated number, from He's standard deviation of its layer: theta = limit x tanh(u / limit).
BOUNDS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.ones_like,
    "scaled_tanh": lambda scale_P: 3 * scale_P,
    "linear": lambda scale_P: torch.full_like(scale_P, torch.inf),
}


class Generator(nn.Module):
    """z in, the parameters of one classifier for each z out.

    Attributes:
        kind, bound, z_size: as given to `build_generator`.
        shapes: name -> shape of each parameter of the classifier, in order.
        numbers: P, how many numbers are generated.
        limit_P: what each generated number stays below; infinite without a bound.
    """

    limit_P: Tensor

    def __init__(self, kind: str, bound: str, z_size: int, shapes: dict[str, torch.Size], inside: nn.Module, limit_P: Tensor) -> None:
        super().__init__()
        self.kind, self.bound, self.z_size, self.shapes, self.inside = kind, bound, z_size, shapes, inside
        self.numbers = len(limit_P)
        self.register_buffer("limit_P", limit_P, persistent=False)

    def forward(self, z_TD: Tensor) -> dict[str, Tensor]:
        """Name -> (T, ...) parameters of T classifiers."""
        return self.split(self.flat(z_TD))

    def flat(self, z_TD: Tensor) -> Tensor:
        """(T, P) generated numbers."""
        u_TP = self.inside(z_TD)
        if self.bound == "linear":
            return u_TP
        return torch.tanh(u_TP) if self.bound == "tanh" else self.limit_P * torch.tanh(u_TP / self.limit_P)

    def split(self, theta_TP: Tensor) -> dict[str, Tensor]:
        """Rows of P numbers as parameters by name."""
        pieces = theta_TP.split([shape.numel() for shape in self.shapes.values()], dim=1)
        return {name: piece.unflatten(1, shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)}

    def layers(self) -> Iterator[tuple[str, slice]]:
        """Names of the parameters and where they lie in a row."""
        begin = 0
        for name, shape in self.shapes.items():
            yield name, slice(begin, begin + shape.numel())
            begin += shape.numel()

    def digest(self, instead: Mapping[str, Tensor] | None = None) -> str:
        """16 hex digits over all bytes of the generator's state; adaptation must not change them.

        Args:
            instead: tensors by name that take the place of the generator's own.
        """
        state = self.state_dict() | {name: tensor for name, tensor in (instead or {}).items() if name in self.state_dict()}
        return digest_of(*(tensor.detach().cpu().numpy() for _, tensor in sorted(state.items())))


def build_generator(kind: str, classifier: nn.Module, z_size: int, bound: str = "tanh", **settings: Any) -> Generator:
    """A generator with freshly drawn weights (torch's global random generator).

    Args:
        kind: `affine`, `mlp`, `chunked` or `low_rank`; also the controls `separate` and `general`, which generate nothing.
        classifier: whose parameters are generated; its own values count nothing.
        z_size: D.
        bound: of the generated numbers: `tanh` (published: below 1), `scaled_tanh` (below three He standard deviations) or `linear`.
        settings: of the kind, see generator_kinds.py.

    Returns:
        A module: z (T, D) in, name -> (T, ...) parameters out. The generated classifiers start He-initialised, also under a bound.

    Raises:
        MetannError: unknown kind, bound or setting, or a z without numbers.
    """
    if kind not in KINDS:
        raise unknown("generator", kind, KINDS, "metann/hypernetwork/generator_kinds.py")
    if bound not in BOUNDS:
        raise unknown("bound", bound, BOUNDS)
    known = keyword_settings("hypernetwork/generator_kinds.py", kind)
    for setting in settings:
        if setting not in known:
            raise MetannError(f"unknown setting {setting!r} of generator {kind}; known: {one_of(known) or 'none'}")
    if z_size < 1:
        raise MetannError(f"generator {kind}: z_size {z_size}; z needs one number or more")
    shapes = {name: parameter.shape for name, parameter in classifier.named_parameters()}
    scale_P = torch.cat([torch.full((shape.numel(),), _scale(name, shapes)) for name, shape in shapes.items()])
    limit_P = BOUNDS[bound](scale_P)
    theta_P = torch.cat([_he(name, shapes).flatten() for name in shapes])
    start_P = theta_P
    if bound != "linear":  # the numbers that the bound turns into the start
        start_P = limit_P * torch.atanh((theta_P / limit_P).clamp(-0.95, 0.95))
    target = Target(start_P, scale_P, tuple(shape.numel() for shape in shapes.values()))
    return Generator(kind, bound, z_size, shapes, KINDS[kind](target, z_size, **settings), limit_P)


def _fan_in(name: str, shapes: dict[str, torch.Size]) -> int:
    """Of a parameter's layer; a bias has that of its weight. 2 (so that He's scale is 1) for what multiplies alone, as in norms."""
    shape = shapes.get(name.removesuffix("bias") + "weight", shapes[name]) if name.endswith("bias") else shapes[name]
    return shape[1:].numel() if len(shape) > 1 else 2


def _scale(name: str, shapes: dict[str, torch.Size]) -> float:
    return (2 / _fan_in(name, shapes)) ** 0.5


def _he(name: str, shapes: dict[str, torch.Size]) -> Tensor:
    """A start for one parameter: He-normal for kernels, 0 for biases, 1 for the weights of norms."""
    shape = shapes[name]
    if len(shape) > 1:
        return torch.randn(shape) * _scale(name, shapes)
    return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
