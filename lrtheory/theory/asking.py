"""How a rule is asked for a fact, and what is said where it has none."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numbers import check_hyper
from ..rules import Rule


class NoLaw(ValueError):
    """The rule has no such number; the message says why."""

    @property
    def reason(self) -> str:
        """Why, without the rule's name before it."""
        return str(self).partition(": ")[2] or str(self)


def numbers_of(rule: Rule, hyper: Any) -> Any:
    """The hyperparameters as the rule's NamedTuple of Python floats, ``None`` where an option switched one off.

    Raises
    ------
    TypeError
        For what is no Rule (a wrapper's number is that of the rule inside), or the hyperparameters of another rule.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no Rule: for a wrapped rule, ask for the rule inside")
    check_hyper(rule, hyper)
    for name, value in hyper._asdict().items():
        if np.ndim(value) != 0:
            raise TypeError(f"{rule!r}: {name} has shape {np.shape(value)}; a law is asked of one number at a time")
    return hyper._make(None if value is None else float(value) for value in hyper)


def answered(rule: Rule, fact: Any, *asked: Any) -> Any:
    """What a fact says of these hyperparameters.

    Raises
    ------
    NoLaw
        Where it is, or returns, the reason why there is nothing to say.
    """
    found = fact(*asked) if callable(fact) else fact
    if isinstance(found, str):
        raise NoLaw(f"{rule!r}: {found}")
    return found


def number(h: Any, name: str) -> float:
    """A hyperparameter, 0 where the rule has none of that name or an option switched it off."""
    return getattr(h, name, None) or 0.0
