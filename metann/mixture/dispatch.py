"""How experts are run: one by one, all at once with stacked weights, or each on its own images only. The same numbers in each way.

Shapes: N images, E experts, K classes, h features of an expert.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from metann.mixture.taps import Tapped

State = dict[str, Tensor]


class Experts(nn.Module):
    """Experts one by one; they may differ."""

    def __init__(self, networks: Sequence[Tapped]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def forward(self, pixels_NCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """All experts on all images: ((N, E, K) float32 logits, (N, E, h) features or None where they have no common width)."""
        logits, features = zip(*(network(pixels_NCHW) for network in self.networks), strict=True)
        alike = len({some.shape[1] for some in features}) == 1
        return torch.stack(logits, dim=1).float(), torch.stack(features, dim=1) if alike else None

    def some(self, pixels_NCHW: Tensor, kept_NE: Tensor) -> Tensor:
        """(N, E, K) logits of the experts that answer, each run on only its images; 0 elsewhere.

        In training an expert that has one image answers in eval mode: batch norm has no spread of one image.
        """
        if len(kept_NE) == 1 and not self.training:
            return self._of_one_image(pixels_NCHW, kept_NE)
        expert_M, image_M = kept_NE.T.nonzero(as_tuple=True)
        counts = kept_NE.sum(dim=0).tolist()
        found, order = [], []
        for network, rows_M in zip(self.networks, image_M.split(counts), strict=True):
            if not len(rows_M):
                continue
            alone = len(rows_M) == 1 and network.training
            mine = pixels_NCHW if len(rows_M) == len(pixels_NCHW) else pixels_NCHW[rows_M]
            found.append((network.eval() if alone else network)(mine)[0].float())
            if alone:
                network.train()
            order.append(rows_M)
        logits_MK = torch.cat(found)
        logits_NEK = logits_MK.new_zeros(*kept_NE.shape, logits_MK.shape[1])
        return logits_NEK.index_put((torch.cat(order), expert_M), logits_MK)

    def _of_one_image(self, pixels_1CHW: Tensor, kept_1E: Tensor) -> Tensor:
        """`some`, without the gathering, which would take as long as a small expert."""
        kept_E = kept_1E[0].tolist()
        found = [network(pixels_1CHW)[0].float() if kept else None for network, kept in zip(self.networks, kept_E, strict=True)]
        nothing_1K = torch.zeros_like(next(logits for logits in found if logits is not None))
        return torch.stack([nothing_1K if logits is None else logits for logits in found], dim=1)

    def states(self) -> list[State]:
        """The state of each expert's network."""
        return [network.network.state_dict() for network in self.networks]

    def load(self, states: Sequence[State]) -> None:
        """Take the state of each expert's network."""
        for network, state in zip(self.networks, states, strict=True):
            network.network.load_state_dict(state)


class StackedExperts(nn.Module):
    """Experts that are alike, as one network whose weights have one dimension more: no loop over experts."""

    def __init__(self, networks: Sequence[Tapped]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(networks))
        self.number, self._template = len(networks), [networks[0]]  # in a list: its own weights are not parameters of this module
        self._names = {name: name.replace(".", "/") for name in (*parameters, *buffers)}  # a dot would be a submodule
        for name, value in parameters.items():
            self.register_parameter(self._names[name], nn.Parameter(value.detach()))
        for name, value in buffers.items():
            self.register_buffer(self._names[name], value)

    def __len__(self) -> int:
        return self.number

    def train(self, mode: bool = True) -> "StackedExperts":
        """As any module's; the template's flags are what counts."""
        self._template[0].train(mode)
        return super().train(mode)

    def forward(self, pixels_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """As `Experts.forward`."""
        template, weights = self._template[0], {name: getattr(self, own) for name, own in self._names.items()}

        def one(state: State) -> tuple[Tensor, Tensor]:
            return functional_call(template, state, (pixels_NCHW,))

        logits_ENK, features_ENh = vmap(one, randomness="different")(weights)
        return logits_ENK.transpose(0, 1).float(), features_ENh.transpose(0, 1)

    def some(self, pixels_NCHW: Tensor, kept_NE: Tensor) -> Tensor:  # noqa: ARG002
        """(N, E, K) logits: all of them, which is what all at once means."""
        return self(pixels_NCHW)[0]

    def states(self) -> list[State]:
        """As `Experts.states`."""
        prefix = "network."
        return [
            {name.removeprefix(prefix): getattr(self, own)[expert].detach().clone() for name, own in self._names.items()}
            for expert in range(self.number)
        ]

    @torch.no_grad()
    def load(self, states: Sequence[State]) -> None:
        """As `Experts.load`."""
        for name, own in self._names.items():
            getattr(self, own).copy_(torch.stack([state[name.removeprefix("network.")] for state in states]))
