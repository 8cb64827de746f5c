"""A constant lr, optionally held back at first."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .factor import Factor
from .schedule import FRACTION, NONNEGATIVE, as_count, as_float, number, pytree, register


@pytree
class Constant(Factor):
    """``lr·factor`` before ``total_iters``, ``lr`` from there on."""

    lr: Any
    factor: Any
    total_iters: Any

    def factor_at(self, t: Array) -> Array:
        """See :func:`constant`."""
        return jnp.where(t < as_count(self.total_iters), as_float(self.factor), 1)


@register
def constant(*, lr: Any, factor: Any = 1.0, total_iters: Any = 0) -> Constant:
    r"""A constant lr, multiplied by a factor during the first steps.

    .. math:: \eta(t) = lr \cdot factor \;\; (t < total\_iters), \qquad lr \;\; (t \ge total\_iters)

    Parameters
    ----------
    lr : scalar in [0, inf)
    factor : scalar in [0, 1]
        1 by default, so that ``constant(lr=...)`` is what it says; torch's ConstantLR has 1/3 over 5 steps.
    total_iters : scalar in [0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ConstantLR._get_closed_form_lr``. Its chained form keeps the factor for
    ever when ``total_iters`` is 0, and divides by zero when the factor is.

    Examples
    --------
    >>> constant(lr=0.5, factor=0.5, total_iters=2)([0, 1, 2]).tolist()
    [0.25, 0.25, 0.5]
    """
    return Constant(
        lr=number("constant", "lr", lr, NONNEGATIVE),
        factor=number("constant", "factor", factor, FRACTION),
        total_iters=number("constant", "total_iters", total_iters, NONNEGATIVE),
    )
