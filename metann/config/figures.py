"""Which figures a section may name."""

from pydantic import AfterValidator

from metann import registry
from metann.errors import MetannError, unknown


def figures_of(family: str | None) -> AfterValidator:
    """A check of figure names.

    Args:
        family: whose they are, by the start of their names; None: of no family, over all of them.
    """

    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        kind = f"figure of {family}" if family else "figure over families"
        known = [name for name in registry.figures() if registry.family_of(name) == family]
        for name in names:
            if name in known:
                continue
            if family and f"{family}_{name}" in known:
                raise MetannError(f"figure {name!r} is {family}_{name} now; write that")
            if (owner := registry.family_of(name)) and name in registry.figures():
                raise MetannError(f"figure {name!r} is of {owner}; write it into {owner}.figures")
            if not family and f"mnn_{name}" in registry.figures():
                raise MetannError(f"figure {name!r} is mnn_{name} now; write it into mnn.figures")
            raise unknown(kind, name, known, "metann/figures/")
        return names

    return AfterValidator(check)
