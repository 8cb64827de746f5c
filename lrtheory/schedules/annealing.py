"""Cosine annealing, with and without restarts, and annealing to the constant lr of weight averaging."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import NONNEGATIVE, POSITIVE, REAL, Range, is_concrete
from ._schedule import Scalar, Schedule, Whole, as_count, as_float, count, level, option, pytree, register
from ._terms import STRATEGIES, blend, half_cosine, ratio

FOLLOWED = (
    "Or a schedule, which is followed up to ``start`` and annealed away from there: torch's recipe of stepping one scheduler "
    "until averaging begins and ``SWALR`` after that, ``t`` counting the steps of both."
)


class Followed(Scalar):
    """An lr, or a schedule in its place."""

    def checked(self, owner: str, name: str, value: Any) -> Any:
        """A schedule as it is."""
        return value if isinstance(value, Schedule) else super().checked(owner, name, value)


@pytree
class CosineAnnealing(Schedule):
    r"""Cosine annealing from ``lr`` to ``eta_min``.

    .. math:: \eta(t) = eta\_min + (lr - eta\_min) \cdot \frac{1 + \cos(\pi t / T\_max)}{2}

    After ``T_max`` it rises again with period ``2·T_max``, as in torch; optax's cosine decay stays at the end.

    References
    ----------
    Loshchilov & Hutter 2017 (1608.03983), eq. 5, without restarts; ``torch/optim/lr_scheduler.py`` (2.13),
    ``CosineAnnealingLR._get_closed_form_lr``, which its chained form follows up to rounding.

    Examples
    --------
    >>> cosine_annealing(lr=1.0, T_max=4)([0, 2, 4, 8]).round(6).tolist()
    [1.0, 0.5, 0.0, 1.0]
    """

    lr: Any = level()
    T_max: Any = count(meaning="Steps from the highest lr to the lowest.")
    eta_min: Any = level(0.0, REAL)

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


cosine_annealing = register("cosine_annealing", CosineAnnealing)


@pytree
class CosineAnnealingWarmRestarts(Schedule):
    r"""Cosine annealing that starts again after ``T_0`` steps, then after ``T_0·T_mult``, and so on.

    .. math::
        \eta(t) = eta\_min + (lr - eta\_min) \cdot \frac{1 + \cos(\pi T_{cur} / T_i)}{2},
        \qquad T_i = T\_0 \cdot T\_mult^n, \quad T_{cur} = t - T\_0 \cdot \frac{T\_mult^n - 1}{T\_mult - 1}

    with :math:`n` the number of restarts so far, exact at every restart.

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

    lr: Any = level()
    T_0: Any = Whole(None, POSITIVE, "steps", "Steps of the first cycle.")
    T_mult: Any = Whole(1, Range(1.0), "1", "Each cycle is so many times longer than the one before.")
    eta_min: Any = level(0.0, REAL)

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


cosine_annealing_warm_restarts = register("cosine_annealing_warm_restarts", CosineAnnealingWarmRestarts)


@pytree
class SWALR(Schedule):
    r"""Anneal from the lr in force at step ``start`` to ``swa_lr``, and stay there.

    .. math::
        \eta(t) = (1 - \alpha)\,lr(start) + \alpha\,swa\_lr, \qquad
        \alpha = \frac{1 - \cos \pi x}{2} \text{ or } x, \quad x = \min\left(1, \frac{t - start}{anneal\_epochs}\right)

    Parameters
    ----------
    anneal_strategy : "cos" or "linear"

    References
    ----------
    ``torch/optim/swa_utils.py`` (2.13), ``SWALR.get_lr``, which recovers the first lr from the lr in force at each
    step and so comes to the same line by a recursion.

    Examples
    --------
    >>> swalr(lr=1.0, swa_lr=0.5, anneal_epochs=4, anneal_strategy="linear")([0, 2, 4, 9]).tolist()
    [1.0, 0.75, 0.5, 0.5]
    """

    lr: Any = Followed(None, NONNEGATIVE, "lr", FOLLOWED)
    swa_lr: Any = level()
    anneal_epochs: Any = Whole(10, NONNEGATIVE, "steps", "At 0 the lr is ``swa_lr`` from ``start`` on.")
    anneal_strategy: str = option("cos", *STRATEGIES)
    start: Any = count(0, NONNEGATIVE)

    def lr_at(self, t: Array) -> Array:
        """See :func:`swalr`."""
        start, length = as_count(self.start), as_count(self.anneal_epochs)
        before = self.lr.lr_at(jnp.minimum(t, start)) if isinstance(self.lr, Schedule) else as_float(self.lr)
        elapsed = jnp.clip(t - start, 0, length)
        done, left = (ratio(part, jnp.maximum(length, 1)) for part in (elapsed, length - elapsed))
        annealed = blend(before, self.swa_lr, done, left, self.anneal_strategy)
        # Without steps to anneal over, both shares above are 0 and the lr is swa_lr at once.
        return jnp.where(t < start, before, jnp.where(length == 0, as_float(self.swa_lr), annealed))


swalr = register("swalr", SWALR)
