"""Groups of parameters: the change of each by itself, and what is around all of them once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..groups import Groups, alone
from ..wrappers import Wrapper
from .result import Exactness, Rescaled, weakest

_BEST: Exactness = "bitwise"


def grouped(rule: Groups | Wrapper, hyper: Any, one: Callable[[Any, Any], Rescaled]) -> Rescaled:
    """Hyperparameters and state of all groups.

    Parameters
    ----------
    one : the answer for a rule with its hyperparameters

    Raises
    ------
    ValueError
        Where a group has no answer, or groups want different things of what is around them.
    """
    around, groups, within = [], rule, hyper
    while isinstance(groups, Wrapper):
        around.append(groups)
        groups, within = groups.rule, groups.inner(within)
    found: dict[str, Rescaled] = {}
    for label, (member, numbers) in alone(rule, hyper).items():
        try:
            # lr_scale is a pure number: the lr that it multiplies is what changes.
            found[label] = one(member, numbers._replace(lr=getattr(within, label).lr))
        except ValueError as error:
            raise ValueError(f"group {label!r}: {error}") from error
    own = {
        label: getattr(within, label)._replace(
            **{n: v for n, v in each.hyper._asdict().items() if n in getattr(within, label)._fields}
        )
        for label, each in found.items()
    }
    outside = {name: _agreed(name, found) for wrapper in around for name in wrapper.numbers}
    new = within._replace(**own)
    for wrapper in reversed(around):
        new = wrapper.Hyper(*new, **{name: outside[name] for name in wrapper.numbers})

    def state(given: Any) -> Any:
        if around:
            raise ValueError(
                f"{around[0]!r}: its state is not taken over; rescale the groups without it, and begin it anew"
            )
        return given._replace(**{label: each.state(getattr(given, label)) for label, each in found.items()})

    notes = {f"{label}: {note}": None for label, each in found.items() for note in each.notes}
    methods, exactness = {each.method for each in found.values()}, _BEST
    for each in found.values():
        exactness = weakest(exactness, each.exactness)
    return Rescaled(rule, new, exactness, methods.pop() if len(methods) == 1 else None, tuple(notes), state)


def _agreed(name: str, found: dict[str, Rescaled]) -> Any:
    """A hyperparameter of what is around all groups."""
    values = {label: getattr(each.hyper, name) for label, each in found.items()}
    if len(set(values.values())) > 1:
        raise ValueError(
            f"{name} is one for all groups, and would be {', '.join(f'{v:g} for {label}' for label, v in values.items())}. Nearest: "
            "one method= for all, or clip each group by itself"
        )
    return next(iter(values.values()))
