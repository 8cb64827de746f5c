"""Cosine annealing with warm restarts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ..numbers import Range
from .anneal import blend, ratio
from .schedule import NONNEGATIVE, POSITIVE, REAL, Schedule, as_count, as_float, number, pytree, register, whole_number


@pytree
class CosineAnnealingWarmRestarts(Schedule):
    """Cosine annealing in cycles that start again from ``lr`` and grow by a factor."""

    lr: Any
    T_0: Any
    T_mult: Any
    eta_min: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`cosine_annealing_warm_restarts`."""
        elapsed, remaining = self.cycle(t)
        length = elapsed + remaining
        return blend(self.lr, self.eta_min, elapsed / length, remaining / length, "cos")

    def cycle(self, t: Array) -> tuple[Array, Array]:
        """Steps since the last restart and to the next, counted in integers and handed out as floats."""
        T_0, T_mult = as_count(self.T_0), as_count(self.T_mult)
        m = jnp.where(T_mult == 1, 2, T_mult)  # growth; cycles that do not grow are taken care of at the end
        # Cycle n has length T_0·mⁿ and starts at T_0·(mⁿ − 1)/(m − 1). The logarithm that inverts this may land on the
        # wrong side of a restart, never by more than one cycle; comparing whole steps puts it right.
        n = jnp.floor(jnp.log1p(ratio(t, T_0) * as_float(m - 1)) / jnp.log(as_float(m)))
        before = jnp.where(n > 0, _times(T_0, m ** jnp.maximum(n - 1, 0).astype(m.dtype)), 0)  # length of cycle n − 1
        length = jnp.where(n > 0, _times(before, m), T_0)
        start = jnp.where(n > 0, before + (before - T_0) // (m - 1), 0)
        early, late = start > t, t - start >= length
        start = jnp.where(early, start - before, jnp.where(late, start + length, start))
        length = jnp.where(early, before, jnp.where(late, _times(length, m), length))
        elapsed = jnp.where(T_mult == 1, t % T_0, t - start)
        return as_float(elapsed), as_float(jnp.where(T_mult == 1, T_0, length) - elapsed)


def _times(length: Array, m: Array) -> Array:
    """The product, held below half the integers so that a start and a length still add up.

    A cycle that is held back is more than a billion steps long (2³⁰; 2⁶² under x64): its cosine is not followed.
    """
    most = int(jnp.iinfo(length.dtype).max) // 2
    return jnp.where(as_float(length) * as_float(m) < 0.99 * most, length * m, most)


@register
def cosine_annealing_warm_restarts(
    *, lr: Any, T_0: Any, T_mult: Any = 1, eta_min: Any = 0.0
) -> CosineAnnealingWarmRestarts:
    r"""Cosine annealing that starts again after ``T_0`` steps, then after ``T_0·T_mult``, and so on.

    .. math::
        \eta(t) = eta\_min + (lr - eta\_min) \cdot \frac{1 + \cos(\pi T_{cur} / T_i)}{2},
        \qquad T_i = T\_0 \cdot T\_mult^n, \quad T_{cur} = t - T\_0 \cdot \frac{T\_mult^n - 1}{T\_mult - 1}

    with :math:`n` the number of restarts so far, exact at every restart.

    Parameters
    ----------
    lr : scalar in [0, inf)
    T_0 : integer in (0, inf)
        Steps of the first cycle.
    T_mult : integer in [1, inf)
        Each cycle is so many times longer than the one before.
    eta_min : scalar

    Returns
    -------
    Schedule
        Fractions of a step are allowed, as in torch's ``step(epoch + i / iterations)``.

    References
    ----------
    Loshchilov & Hutter 2017 (1608.03983), eq. 5; ``torch/optim/lr_scheduler.py`` (2.13),
    ``CosineAnnealingWarmRestarts``: its stepping counts cycles in integers and is met at every step; its jump to an
    epoch takes a logarithm in floating point and can miss a restart.

    Examples
    --------
    >>> cosine_annealing_warm_restarts(lr=1.0, T_0=2, T_mult=2)([0, 1, 2, 4, 6]).round(6).tolist()
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    owner = "cosine_annealing_warm_restarts"
    return CosineAnnealingWarmRestarts(
        lr=number(owner, "lr", lr, NONNEGATIVE),
        T_0=whole_number(owner, "T_0", T_0, POSITIVE),
        T_mult=whole_number(owner, "T_mult", T_mult, Range(1.0)),
        eta_min=number(owner, "eta_min", eta_min, REAL),
    )
