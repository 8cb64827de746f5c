"""An lr that falls to 0 as a power of the share of steps left."""

from __future__ import annotations

from typing import Any

from jax import Array

from .anneal import elapsed_and_remaining, ratio
from .factor import Factor
from .schedule import NONNEGATIVE, POSITIVE, as_float, number, pytree, register


@pytree
class Polynomial(Factor):
    """``lr`` times a power of the share of steps that are left."""

    lr: Any
    total_iters: Any
    power: Any

    def factor_at(self, t: Array) -> Array:
        """See :func:`polynomial`."""
        _, remaining = elapsed_and_remaining(t, self.total_iters)
        return ratio(remaining, self.total_iters) ** as_float(self.power)


@register
def polynomial(*, lr: Any, total_iters: Any = 5, power: Any = 1.0) -> Polynomial:
    r"""An lr that falls to 0 over ``total_iters`` steps and stays there.

    .. math:: \eta(t) = lr \cdot \left(1 - \frac{\min(t, total\_iters)}{total\_iters}\right)^{power}

    Parameters
    ----------
    lr : scalar in [0, inf)
    total_iters : scalar in (0, inf)
    power : scalar in [0, inf)
        At 0 the lr is constant.

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``PolynomialLR._get_closed_form_lr``.

    Examples
    --------
    >>> polynomial(lr=1.0, total_iters=4, power=2.0)([0, 2, 4, 9]).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """
    return Polynomial(
        lr=number("polynomial", "lr", lr, NONNEGATIVE),
        total_iters=number("polynomial", "total_iters", total_iters, POSITIVE),
        power=number("polynomial", "power", power, NONNEGATIVE),
    )
