"""An lr that decays by the same factor every step."""

from __future__ import annotations

from typing import Any

from jax import Array

from .factor import Factor
from .power import Gamma, gamma_of, power
from .schedule import NONNEGATIVE, number, pytree, register


@pytree
class Exponential(Factor):
    """``lr·gamma^t``."""

    lr: Any
    gamma: Gamma

    def factor_at(self, t: Array) -> Array:
        """See :func:`exponential`."""
        return power(self.gamma, t)


@register
def exponential(*, lr: Any, gamma: Any) -> Exponential:
    r"""An lr multiplied by ``gamma`` every step.

    .. math:: \eta(t) = lr \cdot gamma^t

    Parameters
    ----------
    lr : scalar in [0, inf)
    gamma : scalar in [0, inf)
        A known gamma keeps its double precision (:mod:`~lrtheory.schedules.power`). A traced one has only its own
        dtype: in float32 the relative error of the lr grows as 3e-8·t.

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ExponentialLR``.

    Examples
    --------
    >>> exponential(lr=1.0, gamma=0.5)([0, 1, 3]).tolist()
    [1.0, 0.5, 0.125]
    """
    return Exponential(lr=number("exponential", "lr", lr, NONNEGATIVE), gamma=gamma_of("exponential", "gamma", gamma))
