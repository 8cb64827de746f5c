"""An lr that moves linearly between two factors."""

from __future__ import annotations

from typing import Any

from jax import Array

from ..numbers import Range
from .anneal import blend, elapsed_and_remaining, ratio
from .factor import Factor
from .schedule import FRACTION, NONNEGATIVE, POSITIVE, number, pytree, register


@pytree
class Linear(Factor):
    """``lr`` times a factor that moves linearly over ``total_iters`` steps and then stays."""

    lr: Any
    start_factor: Any
    end_factor: Any
    total_iters: Any

    def factor_at(self, t: Array) -> Array:
        """See :func:`linear`."""
        elapsed, remaining = elapsed_and_remaining(t, self.total_iters)
        done, left = ratio(elapsed, self.total_iters), ratio(remaining, self.total_iters)
        return blend(self.start_factor, self.end_factor, done, left)


@register
def linear(*, lr: Any, start_factor: Any = 1 / 3, end_factor: Any = 1.0, total_iters: Any = 5) -> Linear:
    r"""An lr that moves linearly from one factor to another: warm-up by default.

    .. math:: \eta(t) = lr \cdot \left(start\_factor + (end\_factor - start\_factor) \cdot
        \frac{\min(t, total\_iters)}{total\_iters}\right)

    Parameters
    ----------
    lr : scalar in [0, inf)
    start_factor : scalar in (0, 1]
    end_factor : scalar in [0, 1]
    total_iters : scalar in (0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``LinearLR._get_closed_form_lr``.

    Examples
    --------
    >>> linear(lr=1.0, start_factor=0.5, total_iters=2)([0, 1, 2, 9]).tolist()
    [0.5, 0.75, 1.0, 1.0]
    """
    return Linear(
        lr=number("linear", "lr", lr, NONNEGATIVE),
        start_factor=number("linear", "start_factor", start_factor, Range(0.0, 1.0, open_low=True)),
        end_factor=number("linear", "end_factor", end_factor, FRACTION),
        total_iters=number("linear", "total_iters", total_iters, POSITIVE),
    )
