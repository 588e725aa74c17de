"""What is learned of a held-out task. An arm is one function: what is there in, what moves and what it means out.

Shapes: Q problems (a held-out task and a draw of its images) that are learned at once, T training tasks, D numbers of z, P generated
numbers. All problems start alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from metann.errors import MetannError
from metann.hypernetwork.generators import Generator, build_generator
from metann.hypernetwork.many_tasks import start_z
from metann.hypernetwork.model import TrainedGenerator
from metann.registry import keyword_settings

Moved = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Given:
    """What an arm may use; random draws come from torch's global generator, which is seeded before.

    Attributes:
        trained: the generator, frozen.
        controls: name -> what was trained for an arm alone: `separate` or `general`.
    """

    trained: TrainedGenerator
    controls: Mapping[str, TrainedGenerator] = field(default_factory=dict)

    def control(self, name: str, arm: str) -> TrainedGenerator:
        """A control of this arm.

        Raises:
            MetannError: it was not given.
        """
        if name not in self.controls:
            raise MetannError(f"arm {arm} needs the control {name!r}; give the weights.safetensors of a generator of that kind")
        return self.controls[name]

    @property
    def z_mean(self) -> Tensor:
        """Where z starts: the mean of all trained ones, for which no task is special."""
        return self.trained.z_TD.mean(dim=0)

    def untrained(self, **settings: object) -> tuple[Generator, Tensor]:
        """A generator as before its training, drawn anew, and the mean of z as it was then; with other settings, if its kind has them."""
        header = self.trained.header
        takes = keyword_settings("hypernetwork/generator_kinds.py", header["generator_kind"])
        known = {name: value for name, value in settings.items() if name in takes}
        generator = build_generator(
            header["generator_kind"], self.trained.classifier, header["z_size"], header["bound"], **(header["generator_settings"] | known)
        )
        z_TD = start_z(header["z"], len(header["tasks"]), header["z_size"], torch.device("cpu")).detach()
        place = self.trained.z_TD.device
        return generator.requires_grad_(False).to(place), z_TD.mean(dim=0).to(place)


@dataclass(frozen=True, eq=False)
class Arm:
    """What moves, and the classifiers that it makes.

    Attributes:
        start: name -> what one problem starts from; only this moves. Empty where nothing does.
        networks: moved tensors with Q in front -> parameters of Q classifiers.
        begin: in words, what is written into the record.
        moves_generator: the weights of a generator are among what moves (copies of them, one for each problem).
        candidates: (J, ...) parameters of J classifiers, of which each problem takes the best on its own images.
    """

    start: Moved
    networks: Callable[[Moved], Moved]
    begin: str
    moves_generator: bool = False
    candidates: Moved | None = None

    @property
    def trained_numbers(self) -> int:
        """How many numbers move for one problem."""
        return sum(value.numel() for value in self.start.values())


def zero_shot(given: Given) -> Arm:
    """Nothing moves: the classifier of the mean z. Whether the generator is a general network."""
    return _fixed(given.trained.generator, given.z_mean, "mean of the trained z")


def best_trained_z(given: Given) -> Arm:
    """Nothing moves: the trained z that does best on the task's images."""
    candidates = given.trained.generator(given.trained.z_TD)
    return Arm({}, lambda moved: moved, "trained z, the best on the images", candidates=candidates)


def z_adapt(given: Given) -> Arm:
    """The method: z moves, the generator is frozen."""
    return Arm({"z": given.z_mean}, lambda moved: given.trained.generator(moved["z"]), "mean of the trained z")


def z_adapt_random_generator(given: Given) -> Arm:
    """The same with a generator that was never trained; z reaches as far as He's standard deviation."""
    generator, z_D = given.untrained(spread=1.0, init="he")
    return Arm({"z": z_D}, lambda moved: generator(moved["z"]), "mean of random z")


def random_subspace(given: Given) -> Arm:
    """As many random directions as z has numbers, around the same start, each number as sensitive as to z (Li et al. 2018)."""
    generator, z_D = given.trained.generator, given.z_mean
    start_P = generator.flat(z_D[None])[0]
    jacobian_PD = _jacobian(generator, z_D)
    random_PD = torch.nn.functional.normalize(torch.randn(jacobian_PD.shape), dim=1).to(z_D.device)
    return _subspace(generator, start_P, random_PD * jacobian_PD.norm(dim=1, keepdim=True), "classifier of the mean z")


def pca_subspace(given: Given) -> Arm:
    """The principal directions of classifiers that were trained on one task each, around their mean."""
    separate = given.control("separate", "pca_subspace")
    theta_TP = separate.generator.flat(separate.z_TD)
    mean_P = theta_TP.mean(dim=0)
    _, spread_R, axes_RP = torch.linalg.svd(theta_TP - mean_P, full_matrices=False)
    most = min(given.trained.z_TD.shape[1], len(theta_TP) - 1)
    axes_PR = (axes_RP * (spread_R / len(theta_TP) ** 0.5)[:, None])[:most].T.contiguous()
    return _subspace(separate.generator, mean_P, axes_PR, "mean of separately trained classifiers")


def probe_last(given: Given) -> Arm:
    """The last layer of the classifier of the mean z."""
    names = list(given.trained.generator.shapes)
    last = names[-1].rpartition(".")[0]
    return _part(given, [name for name in names if name.rpartition(".")[0] == last])


def bias_only(given: Given) -> Arm:
    """All biases of the classifier of the mean z."""
    return _part(given, [name for name in given.trained.generator.shapes if name.endswith("bias")])


def finetune_net(given: Given) -> Arm:
    """The whole classifier, from that of the mean z."""
    return _part(given, list(given.trained.generator.shapes))


def scratch_net(given: Given) -> Arm:
    """The whole classifier, from a random start."""
    generator = build_generator("general", given.trained.classifier, 1, "linear").to(given.trained.z_TD.device)
    start = {name: value[0].detach() for name, value in generator(torch.zeros(1, 1, device=given.trained.z_TD.device)).items()}
    return Arm(start, lambda moved: moved, "He-initialised")


def full_generator(given: Given) -> Arm:
    """A whole generator and z from a random start, for each problem its own: what the published text compares with."""
    return _everything(*given.untrained(), "a new generator")


def repo_bug(given: Given) -> Arm:
    """What the published code does: z and, with it, all weights of the trained generator move."""
    return _everything(given.trained.generator, given.z_mean, "trained generator and the mean of the trained z")


def general_net(given: Given) -> Arm:
    """Nothing moves: one classifier that was trained on all training tasks together."""
    general = given.control("general", "general_net")
    return _fixed(general.generator, general.z_TD[0], "one classifier for all training tasks")


def _fixed(generator: Generator, z_D: Tensor, begin: str) -> Arm:
    parameters = generator(z_D[None])
    return Arm({}, lambda moved: parameters, begin)  # noqa: ARG005 - nothing moves


def _part(given: Given, names: list[str]) -> Arm:
    fixed = {name: value[0] for name, value in given.trained.generator(given.z_mean[None]).items()}

    def networks(moved: Moved) -> Moved:
        problems = len(moved[names[0]])
        return {name: moved[name] if name in moved else value.expand(problems, *value.shape) for name, value in fixed.items()}

    return Arm({name: fixed[name] for name in names}, networks, "classifier of the mean z")


def _subspace(generator: Generator, start_P: Tensor, axes_PD: Tensor, begin: str) -> Arm:
    return Arm(
        {"z": torch.zeros(axes_PD.shape[1], device=start_P.device)},
        lambda moved: generator.split(start_P + moved["z"] @ axes_PD.T),
        begin,
    )


def _everything(generator: Generator, z_D: Tensor, begin: str) -> Arm:
    weights = {name: parameter.detach() for name, parameter in generator.named_parameters()}

    def one(moved: Moved) -> Moved:
        mine = {name: moved[name] for name in weights}
        return {name: value[0] for name, value in functional_call(generator, mine, (moved["z"][None],)).items()}

    return Arm(weights | {"z": z_D}, vmap(one), begin, moves_generator=True)


def _jacobian(generator: Generator, z_D: Tensor) -> Tensor:
    """(P, D) how each generated number moves with each number of z, by differentiating backwards twice: D passes, and P would be many.

    (torch.func.jvp would do, and imports torch's old compiler.)
    """
    with torch.enable_grad():
        z = z_D.clone().requires_grad_(True)
        theta_P = generator.flat(z[None])[0]
        weights_P = torch.zeros_like(theta_P, requires_grad=True)
        (back_D,) = torch.autograd.grad(theta_P, z, weights_P, create_graph=True)
        return torch.stack([torch.autograd.grad(back, weights_P, retain_graph=True)[0] for back in back_D], dim=1)
