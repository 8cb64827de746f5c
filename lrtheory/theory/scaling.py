r"""Loss scale and parameter scale: one law, read from units.

Replace :math:`L` by :math:`L'(\theta') = \alpha L(\theta'/c)` and start at :math:`\theta'_0 = c\,\theta_0`. If every
hyperparameter and every piece of state is multiplied by :math:`\alpha^{loss} c^{param}`, its units' exponents, then
:math:`\theta'_t = c\,\theta_t` for all t: exactly in real arithmetic, and bit for bit in floating point where α and c
are powers of two and nothing over- or underflows.

That the units are right is what :mod:`lrtheory.dims` proves of each rule. Where bare numbers stand beside gradients there
is no law, unless gradients keep their size (α = c): RAdam, whose first steps want lr in other units than later ones;
Adafactor with a machine's eps for its own; torch's clipping by a norm, which adds 1e-6 to it. LARS and LAMB have one
except for a parameter that is exactly zero, whose trust ratio is then the bare number 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..numbers import check_hyper
from ..rules import Rule
from ..units import GRADIENT, PARAM, PURE, Units
from ..wrappers import Wrapper

# State that wrappers keep beside that of the rule inside; what is not named is a pure number.
_WRAPPED = {"mean": GRADIENT, "average": PARAM}


def rescaled_hyper(rule: Rule | Wrapper, hyper: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """Hyperparameters for a loss ``loss`` times as large and parameters ``params`` times as large.

    Raises
    ------
    ValueError
        For a scale that is not above 0 and finite, or a rule that has no law.
    """
    check_scale("loss", loss)
    check_scale("params", params)
    _check_rule(rule, hyper)
    if loss != params:
        refuse_lawless(rule)
    units = rule.units
    return type(hyper)(
        *(
            None if value is None else units[name].rescaled(value, loss, params)
            for name, value in zip(hyper._fields, hyper, strict=True)
        )
    )


def rescaled_state(rule: Rule | Wrapper, state: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """State for the same change in mid-run; step counts and other pure numbers stay as they are."""
    check_scale("loss", loss)
    check_scale("params", params)
    lr = rule.units["lr"].factor(loss, params)
    return _rescaled(
        rule, state, lambda units: units.factor(loss, params), lambda units: lr ** float(units.loss + units.param)
    )


def _rescaled(
    rule: Rule | Wrapper, state: Any, factor: Callable[[Units], float], of_factors: Callable[[Units], float]
) -> Any:
    """The state with each field multiplied by what its units ask for.

    A clipped rule keeps one more state, of its rule run on the factors of clipping. No scale changes those, so that only
    what has the lr in it moves, and as the lr does: with a pure number in place of the gradient, every power of [param]
    is one of lr.
    """
    if not isinstance(rule, Wrapper):
        scaled = (_scaled(tree, factor(rule.units[name])) for name, tree in zip(state._fields, state, strict=True))
        return type(state)(*scaled)
    inner = {"rule": _rescaled(rule.rule, state.rule, factor, of_factors)}
    if "factors" in state._fields:
        inner["factors"] = _rescaled(rule.rule, state.factors, of_factors, of_factors)
    rest = {name: getattr(state, name) for name in state._fields if name not in inner}
    return state._replace(
        **inner, **{name: _scaled(tree, factor(_WRAPPED.get(name, PURE))) for name, tree in rest.items()}
    )


def _scaled(tree: Any, factor: float) -> Any:
    return tree if factor == 1 else jax.tree.map(lambda x: x * factor, tree)


def check_scale(name: str, scale: Any) -> None:
    """Refuse what is no scale: not a real number, not above 0, not finite."""
    if isinstance(scale, (bool, str)) or not isinstance(scale, (int, float, np.floating, np.integer)):
        raise TypeError(f"{name}={scale!r} is not a real number")
    if not 0 < scale < math.inf:
        raise ValueError(f"{name}={scale}: a scale must be above 0, or the direction of descent is lost, and finite")


def _check_rule(rule: Any, hyper: Any) -> None:
    if not isinstance(rule, (Rule, Wrapper)):
        raise TypeError(
            f"{rule!r} is no Rule: give one from lrtheory.rules, or one wrapped by lrtheory.wrappers; a live "
            "optimizer is for lrtheory.explain(optimizer, ...)"
        )
    check_hyper(rule, hyper)


def refuse_lawless(rule: Rule | Wrapper) -> None:
    """Refuse a rule without a law for gradients of another size: what is impossible, why, and what can be done.

    Raises
    ------
    ValueError
    """
    if isinstance(rule, Wrapper):
        if "max_norm" in rule.numbers and not rule.options["homogeneous"]:
            raise ValueError(
                f"{rule!r} has no law: torch adds 1e-6 to the norm it clips by, which does not scale with the loss. "
                "Nearest: clip without it (homogeneous=True, as optax does) and rescale that; for gradient norms far above "
                "1e-6 the difference is 1e-6 over the norm"
            )
        return refuse_lawless(rule.rule)
    if rule.facts.lawless:
        raise ValueError(f"{rule!r} has no law{rule.facts.lawless}")
