"""Cosine annealing."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .schedule import NONNEGATIVE, POSITIVE, Schedule, as_float, number, pytree, register


@pytree
class CosineAnnealing(Schedule):
    """Half a cosine from ``lr`` to ``eta_min`` over ``T_max`` steps, and back again."""

    lr: Any
    T_max: Any
    eta_min: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`cosine_annealing`."""
        lr, eta_min = as_float(self.lr), as_float(self.eta_min)
        phase = as_float(t % (2 * self.T_max)) / as_float(
            self.T_max
        )  # reduced first: cos of a large angle loses digits
        return eta_min + (lr - eta_min) * (1 + jnp.cos(jnp.pi * phase)) / 2


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
    eta_min : scalar in [0, inf)

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
        eta_min=number("cosine_annealing", "eta_min", eta_min, NONNEGATIVE),
    )
