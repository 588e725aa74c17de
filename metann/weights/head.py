"""The end of a network, for fine-tuning little of it."""

from typing import Any

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def _units(module: nn.Module) -> list[nn.Module]:
    """Parts with parameters in order, containers taken apart."""
    if not isinstance(module, CONTAINERS):
        return [module] if any(True for _ in module.parameters()) else []
    return [unit for child in module.children() for unit in _units(child)]


def head_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of the last block and of the classifier, whatever the family.

    The classifier is the last part that has parameters; the last block is what stands before it, backwards up to and with
    the first part that holds a convolution or a linear map (a lone batch norm does not count as a block). Of timm's models their own
    interface says which parameters are a block, and which the classifier.
    """
    if hasattr(module, "group_matcher") and hasattr(module, "get_classifier"):
        return _timm_head(module)
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    if len(children) == 1:  # one container that holds everything
        children = _units(children[0])
    if not children:
        return list(module.parameters())
    chosen = list(children[-1].parameters())
    for unit in reversed([unit for child in children[:-1] for unit in _units(child)]):
        weights = list(unit.parameters())
        chosen = weights + chosen
        if any(weight.ndim > 1 for weight in weights):
            break
    return chosen


def _timm_head(module: Any) -> list[nn.Parameter]:
    """The classifier of a timm model, and backwards the groups of its own `group_matcher` up to and with one that holds a map."""
    from timm.models import group_parameters

    named = dict(module.named_parameters())
    classifiers = module.get_classifier()
    classifier = {id(part) for each in (classifiers if isinstance(classifiers, tuple) else (classifiers,)) for part in each.parameters()}
    chosen: list[nn.Parameter] = []
    groups = group_parameters(module, module.group_matcher(coarse=False))
    for _, names in sorted(groups.items(), reverse=True):
        group = [named[name] for name in names]
        chosen = group + chosen
        if any(weight.ndim > 1 and id(weight) not in classifier for weight in group):
            break
    return [parameter for parameter in named.values() if any(parameter is part for part in chosen) or id(parameter) in classifier]
