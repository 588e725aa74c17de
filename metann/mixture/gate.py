"""The gate as a module: its network, attention's two matrices and the size of learned noise, for any function of `gates`.

Shapes: N images, E experts, K classes, h features of an expert.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from metann.config.mixture_parts import GateSection
from metann.mixture import gates
from metann.mixture.taps import Tapped, last_linear
from metann.networks._build import build

LEAST_NOISE = 1e-2  # of the learned deviation (davidmrau/mixture-of-experts)


class Gate(nn.Module):
    """Scores of every expert for every image.

    Attributes:
        section: how it is configured.
        network: its own network with its features, or None.
    """

    def __init__(
        self,
        section: GateSection,
        experts: int,
        classes: int,
        channels: int,
        image_size: int,
        features: int,
        learned_noise: bool = False,
        class_sets: list[list[int]] | None = None,
    ) -> None:
        """Build a gate with freshly drawn weights (torch's global generator).

        Args:
            experts, classes, channels, image_size: of the mixture.
            features: h, of an expert; for attention.
            learned_noise: give it a layer whose output is the deviation of its noise.
            class_sets: classes of each expert, for the gate of that name.
        """
        super().__init__()
        self.section, self.experts, self._score = section, experts, getattr(gates, section.kind)
        self.network: Tapped | None = None
        self.query = self.key = self.noise = None
        self.scale: nn.Parameter | float = 1 / math.sqrt(features)
        attention = section.kind == "attention"
        if section.has_network:
            seen = channels + experts * classes if section.augmented else channels
            network = build(section.architecture, max(experts, 2), seen, image_size, **section.settings)
            if experts == 1:
                _one_output(network)
            self._initialise(network)
            self.network = Tapped(network, section.tap, headless=attention)
        if attention:
            self.query = nn.Linear(self.network.features, features, bias=False)
            self.key = nn.Linear(features, features, bias=False)
            if section.init == "zero_last":
                nn.init.zeros_(self.query.weight)
            if section.scale == "learned":
                self.scale = nn.Parameter(torch.tensor(self.scale))
        if learned_noise:
            self.noise = nn.Linear(self.network.features, experts)
            nn.init.zeros_(self.noise.weight), nn.init.zeros_(self.noise.bias)
        owners_KE = torch.zeros(classes, experts)
        for expert, some in enumerate(class_sets or []):
            owners_KE[some, expert] = 1
        self.register_buffer("owners_KE", owners_KE, persistent=False)

    def _initialise(self, network: nn.Module) -> None:
        """`zero_all` zeroes the network and leaves attention's matrices: two zero factors of one product would never learn."""
        if self.section.init == "zero_all":
            parts = list(network.parameters())
        else:
            last = self.section.init == "zero_last" and self.section.kind != "attention"
            parts = list(last_linear(network)[1].parameters()) if last else []
        for parameter in parts:
            nn.init.zeros_(parameter)

    def forward(
        self, pixels_NCHW: Tensor, logits_NEK: Tensor | None, features_NEh: Tensor | None, labels_N: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Score the experts.

        Args:
            pixels_NCHW: normalised images.
            logits_NEK, features_NEh: of all experts, where `section.needs_experts`.
            labels_N: true classes, where `section.needs_labels`.

        Returns:
            ((N, E) float32 scores, (N, E) standard deviation of learned noise or None).
        """
        if self.section.detach_taps:
            logits_NEK, features_NEh = (None if given is None else given.detach() for given in (logits_NEK, features_NEh))
        scores_NE = features_Nh = query_Nh = keys_NEh = None
        if self.network is not None:
            scores_NE, features_Nh = self.network(self._augmented(pixels_NCHW, logits_NEK))
        if self.query is not None:
            query_Nh, keys_NEh = self.query(features_Nh), self.key(features_NEh)
        shape = (len(pixels_NCHW), self.experts)
        seen = gates.Seen(scores_NE, query_Nh, keys_NEh, self.scale, logits_NEK, labels_N, self.owners_KE, shape, pixels_NCHW)
        deviation_NE = None if self.noise is None else functional.softplus(self.noise(features_Nh).float()) + LEAST_NOISE
        return self._score(seen).float(), deviation_NE

    def _augmented(self, pixels_NCHW: Tensor, logits_NEK: Tensor | None) -> Tensor:
        """The images, and every expert's probability of every class as a plane of its own."""
        if not self.section.augmented:
            return pixels_NCHW
        planes_NP11 = logits_NEK.softmax(dim=2).flatten(1)[:, :, None, None]
        return torch.cat([pixels_NCHW, planes_NP11.expand(-1, -1, *pixels_NCHW.shape[2:])], dim=1)


def _one_output(network: nn.Module) -> None:
    """An architecture has two outputs at least; a gate of one expert has one."""
    name, head = last_linear(network)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Linear(head.in_features, 1))
