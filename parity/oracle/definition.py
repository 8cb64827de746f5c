"""What a definition is, and the table of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: ``step(a, o, h, s, t, g, p) -> (p, s)``: arithmetic, options, numbers, state before, step from 1, gradient, parameter.
Step = Callable[[Any, Mapping[str, Any], Any, dict[str, Any], int, Any, Any], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Definition:
    """One rule as its paper (or torch, where torch is the reference) states it, for one array.

    Attributes
    ----------
    step : callable
    fields : tuple
        State fields of the parameter's shape that start at 0, under the names of :mod:`lrtheory.rules`.
    start : callable or None
        ``start(a, p)``: other state fields at the start.
    elsewhere : mapping
        State field → ``function(kept)``, how it follows from what an implementation keeps under other names, or ``None``
        where it does not.
    """

    step: Step
    fields: tuple[str, ...] = ()
    start: Callable[[Any, Any], dict[str, Any]] | None = None
    elsewhere: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)

    def initial(self, a: Any, p: Any) -> dict[str, Any]:
        """State before the first step."""
        state = {name: a.zeros(p.shape) for name in self.fields}
        return state | (self.start(a, p) if self.start else {})


_DEFINITIONS: dict[str, Definition] = {}


def define(rule: str, *fields: str, **more: Any) -> Callable[[Step], Step]:
    """Enter a step into the table."""

    def enter(step: Step) -> Step:
        _DEFINITIONS[rule] = Definition(step, fields, **more)
        return step

    return enter


def definition(rule: str) -> Definition:
    """The definition of a rule.

    Raises
    ------
    KeyError
        With the rules that have one.
    """
    if rule not in _DEFINITIONS:
        raise KeyError(f"the oracle has no definition of {rule!r}: there are {', '.join(defined())}")
    return _DEFINITIONS[rule]


def defined() -> list[str]:
    """Rules with a definition."""
    return sorted(_DEFINITIONS)


def uphill(step: Step) -> Step:
    """The step with the gradient negated where the option ``maximize`` asks for it."""

    @functools.wraps(step)
    def signed(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
        return step(a, o, h, s, t, -g if o.get("maximize") else g, p)

    return signed
