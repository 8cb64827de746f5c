"""A linear rise of the lr from 0, and then cosines."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .anneal import blend, half_cosine, ratio
from .schedule import FRACTION, POSITIVE, as_count, as_float, number, pytree, register, whole_number
from .warmup import WithWarmup, steps_after, warmup_numbers


@pytree
class CosineWithWarmup(WithWarmup):
    """A rise from 0, then cosine waves down to a share of ``lr``."""

    lr: Any
    warmup_steps: Any
    total_steps: Any
    num_cycles: Any
    min_ratio: Any

    def decline(self, elapsed: Array) -> Array:
        """See :func:`cosine_with_warmup`."""
        # Half a wave; the default of half a cycle leaves its length a whole number of steps, exact in float32.
        half = as_float(steps_after(self.warmup_steps, self.total_steps)) / (2 * as_float(self.num_cycles))
        remaining = jnp.abs(half - as_float(elapsed) % (2 * half))
        share = blend(1.0, self.min_ratio, (half - remaining) / half, remaining / half, "cos")
        return as_float(self.lr) * share


@register
def cosine_with_warmup(
    *, lr: Any, warmup_steps: Any, total_steps: Any, num_cycles: Any = 0.5, min_ratio: Any = 0.0
) -> CosineWithWarmup:
    r"""An lr that rises linearly from 0 and falls along a cosine to ``min_ratio·lr``.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \left(min\_ratio + (1 - min\_ratio) \frac{1 + \cos(2\pi\, num\_cycles \cdot p)}{2}\right), \quad
        p = \frac{t - warmup\_steps}{total\_steps - warmup\_steps}

    Past the end the cosine goes on: with half a cycle the lr rises again, as in the source.

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps : scalar in [0, inf)
    total_steps : scalar in (0, inf)
    num_cycles : scalar in (0, inf)
        Waves until ``total_steps``; half of one by default.
    min_ratio : scalar in [0, 1]

    Returns
    -------
    Schedule

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_cosine_schedule_with_warmup`` and, for a ``min_ratio``,
    ``get_cosine_with_min_lr_schedule_with_warmup``.

    Examples
    --------
    >>> cosine_with_warmup(lr=1.0, warmup_steps=2, total_steps=6)([0, 1, 2, 4, 6]).round(6).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    owner = "cosine_with_warmup"
    return CosineWithWarmup(
        **warmup_numbers(owner, lr, warmup_steps),
        total_steps=number(owner, "total_steps", total_steps, POSITIVE),
        num_cycles=number(owner, "num_cycles", num_cycles, POSITIVE),
        min_ratio=number(owner, "min_ratio", min_ratio, FRACTION),
    )


@pytree
class CosineWithRestartsAndWarmup(WithWarmup):
    """A rise from 0, then half cosines that start again from ``lr``."""

    lr: Any
    warmup_steps: Any
    total_steps: Any
    num_cycles: Any

    def decline(self, elapsed: Array) -> Array:
        """See :func:`cosine_with_restarts_and_warmup`."""
        length = steps_after(self.warmup_steps, self.total_steps)
        cycles = as_count(self.num_cycles)
        # Cycles need not be whole steps: position and length are counted in units of 1/num_cycles of a step, exact in
        # integers. Where those would overflow, the position is that of a float.
        rough = as_float(elapsed) * as_float(cycles) % as_float(length)
        exact = as_float(elapsed) * as_float(cycles) < 0.99 * float(jnp.iinfo(cycles.dtype).max)
        position = elapsed * cycles % length
        left = jnp.where(exact, ratio(length - position, length), 1 - rough / as_float(length))
        return as_float(self.lr) * jnp.where(elapsed >= length, 0, half_cosine(left))


@register
def cosine_with_restarts_and_warmup(
    *, lr: Any, warmup_steps: Any, total_steps: Any, num_cycles: Any = 1
) -> CosineWithRestartsAndWarmup:
    r"""An lr that rises linearly from 0 and falls along half a cosine to 0, ``num_cycles`` times over.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \frac{1 + \cos(\pi (num\_cycles \cdot p \bmod 1))}{2}, \quad
        p = \frac{t - warmup\_steps}{total\_steps - warmup\_steps} < 1

    and 0 from ``total_steps`` on.

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps : scalar in [0, inf)
    total_steps : scalar in (0, inf)
    num_cycles : integer in (0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_cosine_with_hard_restarts_schedule_with_warmup``. It takes the
    remainder of a rounded quotient, which at a restart can come out as the end of the cycle before: a lr of 0 where
    the formula has the full one. Here restarts are exact.

    Examples
    --------
    >>> schedule = cosine_with_restarts_and_warmup(lr=1.0, warmup_steps=2, total_steps=10, num_cycles=2)
    >>> schedule([1, 2, 4, 6, 8, 10]).round(6).tolist()
    [0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
    """
    owner = "cosine_with_restarts_and_warmup"
    return CosineWithRestartsAndWarmup(
        **warmup_numbers(owner, lr, warmup_steps),
        total_steps=number(owner, "total_steps", total_steps, POSITIVE),
        num_cycles=whole_number(owner, "num_cycles", num_cycles, POSITIVE),
    )
