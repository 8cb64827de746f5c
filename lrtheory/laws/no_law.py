"""What is said of a rule that a formula does not cover."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..rules import Rule


class NoLaw(ValueError):
    """The rule has no such number; the message says why."""


def numbers_of(rule: Rule, hyper: Any) -> dict[str, float]:
    """The hyperparameters as Python floats, numbers that an option switched off left out.

    Raises
    ------
    TypeError
        For what is no Rule (a wrapper's number is that of the rule inside), or the numbers of another rule.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no Rule: for a wrapped rule, ask for the rule inside")
    if not isinstance(hyper, rule.Hyper):
        raise TypeError(f"{rule!r} takes {rule.Hyper.__name__} from its .hyper(...), not {type(hyper).__name__}")
    found = {name: value for name, value in hyper._asdict().items() if value is not None}
    for name, value in found.items():
        if np.ndim(value) != 0:
            raise TypeError(f"{rule!r}: {name} has shape {np.shape(value)}; a law is asked of one number at a time")
    return {name: float(value) for name, value in found.items()}
