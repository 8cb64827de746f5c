r"""Loss scale and parameter scale: one law, read from units.

Replace :math:`L` by :math:`L'(\theta') = \alpha L(\theta'/c)` and start at :math:`\theta'_0 = c\,\theta_0`. If every
hyperparameter and every piece of state is multiplied by :math:`\alpha^{loss} c^{param}`, its units' exponents, then
:math:`\theta'_t = c\,\theta_t` for all t: exactly in real arithmetic, and bit for bit in floating point where α and c
are powers of two and nothing over- or underflows.
"""

from __future__ import annotations

from typing import Any

import jax

from ..rules.rule import Rule


def rescaled_hyper(rule: Rule, hyper: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """Hyperparameters for a loss ``loss`` times as large and parameters ``params`` times as large.

    Raises
    ------
    ValueError
        For a scale that is not above 0.
    """
    _check_scales(loss, params)
    return type(hyper)(
        *(
            None if value is None else value * rule.units[name].factor(loss, params)
            for name, value in zip(hyper._fields, hyper, strict=True)
        )
    )


def rescaled_state(rule: Rule, state: Any, *, loss: float = 1.0, params: float = 1.0) -> Any:
    """State for the same change in mid-run; step counts and other pure numbers stay as they are."""
    _check_scales(loss, params)

    def scaled(name: str, tree: Any) -> Any:
        units = rule.units[name]
        return tree if units.is_pure else jax.tree.map(lambda x: x * units.factor(loss, params), tree)

    return type(state)(*(scaled(name, tree) for name, tree in zip(state._fields, state, strict=True)))


def _check_scales(loss: float, params: float) -> None:
    for name, scale in (("loss", loss), ("params", params)):
        if not scale > 0:
            raise ValueError(f"{name}={scale}: a scale must be above 0, or the direction of descent is lost")
