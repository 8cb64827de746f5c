"""Cosine annealing."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import is_concrete
from .anneal import blend, half_cosine, ratio
from .schedule import NONNEGATIVE, POSITIVE, REAL, Schedule, as_count, number, pytree, register


@pytree
class CosineAnnealing(Schedule):
    """Half a cosine from ``lr`` to ``eta_min`` over ``T_max`` steps, and back again."""

    lr: Any
    T_max: Any
    eta_min: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`cosine_annealing`."""
        done, left = self._shares(t)
        return blend(self.lr, self.eta_min, done, left, "cos")

    def require_factor(self) -> None:
        """Annealing is a factor of the lr in force only when it ends at 0, and that must be known."""
        if not is_concrete(self.eta_min) or np.any(np.asarray(self.eta_min) != 0):
            raise ValueError(
                f"chained: cosine_annealing(eta_min={self.eta_min}) is no factor of the lr in force; it is one "
                "with eta_min=0 only"
            )

    def factor_at(self, t: Array) -> Array:
        """The lr over its first, when it anneals to 0."""
        return half_cosine(self._shares(t)[1])

    def _shares(self, t: Array) -> tuple[Array, Array]:
        """Shares of the way to ``eta_min`` that are done and left, with the period taken off in whole steps."""
        T_max = as_count(self.T_max)
        remaining = jnp.abs(T_max - t % (2 * T_max))
        return ratio(T_max - remaining, T_max), ratio(remaining, T_max)


@register
def cosine_annealing(*, lr: Any, T_max: Any, eta_min: Any = 0.0) -> CosineAnnealing:
    r"""Cosine annealing from ``lr`` to ``eta_min``.

    .. math:: \eta(t) = eta\_min + (lr - eta\_min) \cdot \frac{1 + \cos(\pi t / T\_max)}{2}

    After ``T_max`` it rises again with period ``2·T_max``, as in torch; optax's cosine decay stays at the end.

    Parameters
    ----------
    lr : scalar in [0, inf)
    T_max : scalar in (0, inf)
        Steps from the highest lr to the lowest.
    eta_min : scalar

    Returns
    -------
    Schedule

    References
    ----------
    Loshchilov & Hutter 2017 (1608.03983), eq. 5, without restarts; ``torch/optim/lr_scheduler.py`` (2.13),
    ``CosineAnnealingLR._get_closed_form_lr``, which its chained form follows up to rounding.

    Examples
    --------
    >>> cosine_annealing(lr=1.0, T_max=4)([0, 2, 4, 8]).round(6).tolist()
    [1.0, 0.5, 0.0, 1.0]
    """
    return CosineAnnealing(
        lr=number("cosine_annealing", "lr", lr, NONNEGATIVE),
        T_max=number("cosine_annealing", "T_max", T_max, POSITIVE),
        eta_min=number("cosine_annealing", "eta_min", eta_min, REAL),
    )
