"""An lr that decays by the same factor every step."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import Array

from .schedule import NONNEGATIVE, Schedule, as_float, number, pytree, register


@pytree
class Exponential(Schedule):
    """``lr·exp(t·log_gamma)``.

    The logarithm is the leaf: a gamma of 0.99999 rounded to float32 would be off by 3 % after a million steps, its
    logarithm is not.
    """

    lr: Any
    log_gamma: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`exponential`."""
        t = as_float(t)
        return as_float(self.lr) * jnp.where(t == 0, 1, jnp.exp(t * as_float(self.log_gamma)))


@register
def exponential(*, lr: Any, gamma: Any) -> Exponential:
    r"""An lr multiplied by ``gamma`` every step.

    .. math:: \eta(t) = lr \cdot gamma^t

    Parameters
    ----------
    lr : scalar in [0, inf)
    gamma : scalar in [0, inf)
        Kept as its logarithm, formed in double precision from a plain number. A traced gamma has only its own
        dtype: in float32 the relative error of the lr grows as 6e-8·t.

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ExponentialLR``.

    Examples
    --------
    >>> exponential(lr=1.0, gamma=0.5)([0, 1, 3]).round(6).tolist()
    [1.0, 0.5, 0.125]
    """
    gamma = number("exponential", "gamma", gamma, NONNEGATIVE)
    known = isinstance(gamma, (int, float))
    log_gamma = (math.log(gamma) if gamma > 0 else -math.inf) if known else jnp.log(gamma)
    return Exponential(lr=number("exponential", "lr", lr, NONNEGATIVE), log_gamma=log_gamma)
