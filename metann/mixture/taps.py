"""The features of any network: what goes into its last linear layer.

Shapes: N images, K outputs, h features.
"""

from torch import Tensor, nn

from metann.errors import MetannError


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the last linear layer.

    Raises:
        MetannError: there is none.
    """
    found = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        raise MetannError(f"{type(network).__name__} has no linear layer whose input could be its features; choose another architecture")
    return found[-1]


class Tapped(nn.Module):
    """A network that gives its features beside its logits.

    `post_act` features are the input of its last linear layer; `pre_act` ones are what the ReLU before that layer was given.
    The hooks live for one call, so copies and `torch.func` see an ordinary module.
    """

    def __init__(self, network: nn.Module, tap: str = "post_act", headless: bool = False) -> None:
        """Wrap a network.

        Args:
            tap: post_act or pre_act.
            headless: take the last linear layer out, for features alone; the logits are None then.

        Raises:
            MetannError: no linear layer, or pre_act and no ReLU before it.
        """
        super().__init__()
        name, head = last_linear(network)
        self.features, self.tap, self.headless = head.in_features, tap, headless
        if headless:
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, nn.Identity())
        names = [other for other, _ in network.named_modules()]
        before = [other for other in names[: names.index(name)] if isinstance(network.get_submodule(other), nn.ReLU)]
        if tap == "pre_act" and not before:
            raise MetannError(f"tap pre_act needs a ReLU before the last linear layer of {type(network).__name__}; use post_act")
        self.network, self._last, self._relu = network, name, before[-1] if before else ""

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor | None, Tensor]:
        """((N, K) logits or None, (N, h) features)."""
        kept: list[Tensor] = []
        watched = self.network.get_submodule(self._last if self.tap == "post_act" else self._relu)
        handle = watched.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        try:
            logits_NK = self.network(images_NCHW)
        finally:
            handle.remove()
        features_Nh = kept[-1].flatten(1)
        if features_Nh.shape[1] != self.features:
            raise MetannError(
                f"tap {self.tap} of {type(self.network).__name__} has {features_Nh.shape[1]} features, its last layer takes "
                f"{self.features}: its last ReLU does not stand directly before that layer; use post_act"
            )
        return None if self.headless else logits_NK, features_Nh
