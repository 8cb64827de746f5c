"""Annealing from the lr in force to the constant one of stochastic weight averaging."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .anneal import STRATEGIES, blend, ratio
from .schedule import (
    NONNEGATIVE,
    Schedule,
    as_count,
    as_float,
    choice,
    number,
    pytree,
    register,
    static,
    whole_number,
)


@pytree
class SWALR(Schedule):
    """From the lr in force at ``start`` to ``swa_lr``."""

    lr: Any
    swa_lr: Any
    anneal_epochs: Any
    start: Any
    anneal_strategy: str = static("cos")

    def lr_at(self, t: Array) -> Array:
        """See :func:`swalr`."""
        start, length = as_count(self.start), as_count(self.anneal_epochs)
        before = self.lr.lr_at(jnp.minimum(t, start)) if isinstance(self.lr, Schedule) else as_float(self.lr)
        elapsed = jnp.clip(t - start, 0, length)
        done, left = (ratio(part, jnp.maximum(length, 1)) for part in (elapsed, length - elapsed))
        annealed = blend(before, self.swa_lr, done, left, self.anneal_strategy)
        # Without steps to anneal over, both shares above are 0 and the lr is swa_lr at once.
        return jnp.where(t < start, before, jnp.where(length == 0, as_float(self.swa_lr), annealed))


@register
def swalr(*, lr: Any, swa_lr: Any, anneal_epochs: Any = 10, anneal_strategy: str = "cos", start: Any = 0) -> SWALR:
    r"""Anneal from the lr in force at step ``start`` to ``swa_lr``, and stay there.

    .. math::
        \eta(t) = (1 - \alpha)\,lr(start) + \alpha\,swa\_lr, \qquad
        \alpha = \frac{1 - \cos \pi x}{2} \text{ or } x, \quad x = \min\left(1, \frac{t - start}{anneal\_epochs}\right)

    Parameters
    ----------
    lr : scalar in [0, inf), or a schedule
        A schedule is followed up to ``start`` and annealed away from there: torch's recipe of stepping one scheduler
        until averaging begins and ``SWALR`` after that, ``t`` counting the steps of both.
    swa_lr : scalar in [0, inf)
    anneal_epochs : integer in [0, inf)
        At 0 the lr is ``swa_lr`` from ``start`` on.
    anneal_strategy : "cos" or "linear"
    start : scalar in [0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/swa_utils.py`` (2.13), ``SWALR.get_lr``, which recovers the first lr from the lr in force at each
    step and so comes to the same line by a recursion.

    Examples
    --------
    >>> swalr(lr=1.0, swa_lr=0.5, anneal_epochs=4, anneal_strategy="linear")([0, 2, 4, 9]).tolist()
    [1.0, 0.75, 0.5, 0.5]
    """
    choice("swalr", "anneal_strategy", anneal_strategy, STRATEGIES)
    return SWALR(
        lr=lr if isinstance(lr, Schedule) else number("swalr", "lr", lr, NONNEGATIVE),
        swa_lr=number("swalr", "swa_lr", swa_lr, NONNEGATIVE),
        anneal_epochs=whole_number("swalr", "anneal_epochs", anneal_epochs, NONNEGATIVE),
        start=number("swalr", "start", start, NONNEGATIVE),
        anneal_strategy=anneal_strategy,
    )
