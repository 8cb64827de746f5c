"""Groups of parameters: the answer for each, put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..groups import Groups, alone
from ..wrappers import Wrapper
from .result import Rescaled, weakest


def per_group(rule: Any, hyper: Any, one: Callable[[Any, Any], Rescaled]) -> Rescaled:
    """Hyperparameters and state of groups, also where a wrapper is around all of them.

    Parameters
    ----------
    one : the answer for one rule with its hyperparameters

    Raises
    ------
    ValueError
        For what is refused of one group, and a wrapper whose hyperparameters would become others for one group than for another.
    """
    each = dict[str, Rescaled]()
    for label, (own, numbers) in alone(rule, hyper, scaled=False).items():
        try:
            each[label] = one(own, numbers)
        except ValueError as error:
            raise ValueError(f"group {label!r}: {error}") from error
    exactness, notes, methods = next(iter(each.values())).exactness, dict[str, list[str]](), dict[str, None]()
    for label, found in each.items():
        exactness = weakest(exactness, found.exactness)
        methods |= {} if found.method is None else {found.method: None}
        for note in found.notes:
            notes.setdefault(note, []).append(label)
    said = tuple(note if len(of) == len(each) else f"{', '.join(of)}: {note}" for note, of in notes.items())

    def state(given: Any) -> Any:
        return _joined_state(
            rule, given, {label: found.state(_state(rule, given, label)) for label, found in each.items()}
        )

    joined = _joined(rule, hyper, {label: found.hyper for label, found in each.items()})
    return Rescaled(rule, joined, exactness, ", ".join(methods) or None, said, state)


def _joined(rule: Any, hyper: Any, found: Mapping[str, Any]) -> Any:
    """Hyperparameters of all groups from those of each."""
    if isinstance(rule, Groups):
        before = hyper._asdict()
        return rule.Hyper(*(
            type(own)(*found[label], lr_scale=own.lr_scale) if label in found else own for label, own in before.items()
        ))  # fmt: skip
    last = len(rule.numbers)
    own = {label: numbers[-last:] for label, numbers in found.items()}
    for name, *values in zip(rule.numbers, *own.values(), strict=True):
        if any(value != values[0] for value in values):
            said = ", ".join(f"{value:g} for {label}" for label, value in zip(own, values, strict=True))
            raise ValueError(
                f"{rule!r}: {name} is shared, and would become {said}. Nearest: one method for all, by method="
            )
    inside = _joined(rule.rule, rule.inner(hyper), {label: numbers[:-last] for label, numbers in found.items()})
    return rule.Hyper(*inside, *next(iter(own.values())))


def _inside(state: Any) -> tuple[str, ...]:
    """The states of rules in that of a wrapper."""
    return tuple(name for name in ("rule", "factors") if name in state._fields)


def _state(rule: Any, state: Any, label: str) -> Any:
    """The state of one group, with that of the wrappers around it."""
    if not isinstance(rule, Wrapper):
        return getattr(state, label)
    return state._replace(**{name: _state(rule.rule, getattr(state, name), label) for name in _inside(state)})


def _joined_state(rule: Any, state: Any, found: Mapping[str, Any]) -> Any:
    """The state of all groups from those of each; what a wrapper keeps of all parameters changes alike for all."""
    if not isinstance(rule, Wrapper):
        return state._replace(**found)
    first = next(iter(found.values()))
    inside = {
        name: _joined_state(rule.rule, getattr(state, name), {label: getattr(s, name) for label, s in found.items()})
        for name in _inside(state)
    }
    return first._replace(**inside)
