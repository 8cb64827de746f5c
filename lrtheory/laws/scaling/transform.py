r"""Loss scale and parameter scale: one law, read from units.

Replace :math:`L` by :math:`L'(\theta') = \alpha L(\theta'/c)` and start at :math:`\theta'_0 = c\,\theta_0`. If every
hyperparameter and every piece of state is multiplied by :math:`\alpha^{loss} c^{param}`, its units' exponents, then
:math:`\theta'_t = c\,\theta_t` for all t: exactly in real arithmetic, and bit for bit in floating point where α and c
are powers of two and nothing over- or underflows.

That the units are right is what :mod:`lrtheory.dims` proves of each rule. Two have no law and are refused: RAdam, whose
first steps want lr in other units than later ones, and Adafactor with a machine's eps for its own. LARS and LAMB have one
except for a parameter that is exactly zero, whose trust ratio is then the bare number 1.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from ...rules.rule import Rule


def rescaled_hyper(rule: Rule, hyper: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """Hyperparameters for a loss ``loss`` times as large and parameters ``params`` times as large.

    Raises
    ------
    ValueError
        For a scale that is not above 0 and finite, or a rule that has no law.
    """
    _check_scales(loss, params)
    _check_rule(rule, hyper)
    return type(hyper)(
        *(
            None if value is None else value * rule.units[name].factor(loss, params)
            for name, value in zip(hyper._fields, hyper, strict=True)
        )
    )


def rescaled_state(rule: Rule, state: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """State for the same change in mid-run; step counts and other pure numbers stay as they are."""
    _check_scales(loss, params)
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no Rule: for a wrapped rule, rescale the state of the rule inside")

    def scaled(name: str, tree: Any) -> Any:
        units = rule.units[name]
        return tree if units.is_pure else jax.tree.map(lambda x: x * units.factor(loss, params), tree)

    return type(state)(*(scaled(name, tree) for name, tree in zip(state._fields, state, strict=True)))


def _check_scales(loss: float, params: float) -> None:
    for name, scale in (("loss", loss), ("params", params)):
        if isinstance(scale, (bool, str)) or not isinstance(scale, (int, float, np.floating, np.integer)):
            raise TypeError(f"{name}={scale!r} is not a real number")
        if not 0 < scale < math.inf:
            raise ValueError(
                f"{name}={scale}: a scale must be above 0, or the direction of descent is lost, and finite"
            )


def _check_rule(rule: Rule, hyper: Any) -> None:
    if not isinstance(rule, Rule):
        raise TypeError(
            f"{rule!r} is no Rule: for a wrapped rule, rescale the rule inside and the wrapper's own numbers"
        )
    if not isinstance(hyper, rule.Hyper):
        raise TypeError(f"{rule!r} takes {rule.Hyper.__name__} from its .hyper(...), not {type(hyper).__name__}")
    if rule.name == "radam":
        raise ValueError(
            f"{rule!r} has no law with a constant lr: while the variance is not yet trusted it steps like SGD, and lr "
            "would have to be divided by the loss scale, later it must stay. Skip those steps, or schedule the lr"
        )
    if rule.options.get("machine_eps"):
        raise ValueError(f"{rule!r} has no law: the machine's eps is added to squares of gradients and does not scale")
