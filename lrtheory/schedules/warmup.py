"""A linear rise of the lr from 0, and then a decline."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import FRACTION, NONNEGATIVE, POSITIVE, is_concrete
from ._schedule import (
    Factor,
    Schedule,
    Whole,
    as_count,
    as_float,
    count,
    level,
    option,
    optional,
    pure,
    pytree,
    register,
)
from ._terms import blend, elapsed_and_remaining, half_cosine, ramp, ratio

TIMESCALE = (
    "Steps after the warm-up by which the lr has fallen to 1/√2. By default that of the warm-up, which gives Vaswani et al.'s "
    "schedule, or 10000 without one."
)


@pytree
class WithWarmup(Schedule):
    """``lr·t/warmup_steps`` until the warm-up is over, and a decline of its own from there."""

    lr: Any = level()
    warmup_steps: Any = count(None, NONNEGATIVE)

    def lr_at(self, t: Array) -> Array:
        """The rise, then the decline."""
        warmup = as_count(self.warmup_steps)
        rise = as_float(self.lr) * ramp(t, warmup)
        return jnp.where(t < warmup, rise, self.decline(jnp.maximum(t - warmup, 0)))

    def decline(self, elapsed: Array) -> Array:
        """The lr so many steps after the warm-up."""
        raise NotImplementedError


def steps_after(warmup_steps: Any, total_steps: Any) -> Array:
    """Steps between the end of the warm-up and the end of all; at least 1."""
    return jnp.maximum(as_count(total_steps) - as_count(warmup_steps), 1)


@pytree
class ConstantWithWarmup(Factor):
    r"""An lr that rises linearly from 0 and stays.

    .. math:: \eta(t) = lr \cdot \min(1, t / warmup\_steps)

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_constant_schedule_with_warmup``.

    Examples
    --------
    >>> constant_with_warmup(lr=1.0, warmup_steps=4)([0, 2, 4, 9]).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """

    lr: Any = level()
    warmup_steps: Any = count(None, NONNEGATIVE, "The lr at ``t = 0`` is 0, unless there are none.")

    def factor_at(self, t: Array) -> Array:
        """See :func:`constant_with_warmup`."""
        return ramp(t, self.warmup_steps)


constant_with_warmup = register("constant_with_warmup", ConstantWithWarmup)


@pytree
class LinearWithWarmup(WithWarmup):
    r"""An lr that rises linearly from 0, falls linearly to 0 and stays there.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \max\left(0, \frac{total\_steps - t}{total\_steps - warmup\_steps}\right)

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_linear_schedule_with_warmup``.

    Examples
    --------
    >>> linear_with_warmup(lr=1.0, warmup_steps=2, total_steps=6)([0, 1, 2, 4, 6, 9]).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """

    total_steps: Any = count()

    def decline(self, elapsed: Array) -> Array:
        """See :func:`linear_with_warmup`."""
        length = steps_after(self.warmup_steps, self.total_steps)
        # A total below the warm-up leaves nothing to decline over.
        end = jnp.maximum(as_count(self.total_steps) - as_count(self.warmup_steps), 0)
        return as_float(self.lr) * ratio(jnp.maximum(end - elapsed, 0), length)


linear_with_warmup = register("linear_with_warmup", LinearWithWarmup)


@pytree
class PolynomialWithWarmup(WithWarmup):
    r"""An lr that rises linearly from 0 and falls to ``lr_end`` as a power of the share of steps left.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr\_end + (lr - lr\_end) \left(\frac{total\_steps - t}{total\_steps - warmup\_steps}\right)^{power}

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_polynomial_decay_schedule_with_warmup``.

    Examples
    --------
    >>> schedule = polynomial_with_warmup(lr=1.0, warmup_steps=2, total_steps=6, lr_end=0.0, power=2.0)
    >>> schedule([0, 1, 2, 4, 6, 9]).tolist()
    [0.0, 0.5, 1.0, 0.25, 0.0, 0.0]
    """

    total_steps: Any = count()
    lr_end: Any = level(1e-7, meaning="Below ``lr``.")
    power: Any = pure(1.0)

    def check(self) -> None:
        """The end is below the start."""
        lr, end = self.lr, self.lr_end
        if is_concrete(lr) and is_concrete(end) and not np.all(np.asarray(end) < np.asarray(lr)):
            raise ValueError(f"polynomial_with_warmup: lr_end={end} must be smaller than lr={lr}")

    def decline(self, elapsed: Array) -> Array:
        """See :func:`polynomial_with_warmup`."""
        length = steps_after(self.warmup_steps, self.total_steps)
        _, remaining = elapsed_and_remaining(elapsed, length)
        share = ratio(remaining, length) ** as_float(self.power)
        # Past the end the lr is lr_end even for power 0, which would keep the share at 1.
        share = jnp.where(elapsed > length, 0, share)
        return as_float(self.lr) * share + as_float(self.lr_end) * (1 - share)


polynomial_with_warmup = register("polynomial_with_warmup", PolynomialWithWarmup)


@pytree
class InverseSqrt(WithWarmup):
    r"""An lr that rises linearly from 0 and falls with the inverse square root of the step count.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \sqrt{\frac{timescale}{t - warmup\_steps + timescale}}

    References
    ----------
    Vaswani et al. 2017 (1706.03762), eq. 3, up to its constant; transformers (4.56), ``optimization.py``,
    ``get_inverse_sqrt_schedule``.

    Examples
    --------
    >>> inverse_sqrt(lr=1.0, warmup_steps=4)([0, 2, 4, 16]).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """

    timescale: Any = optional(count(meaning=TIMESCALE))

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The warm-up's time scale unless one is given."""
        steps = count(None, NONNEGATIVE).checked("inverse_sqrt", "warmup_steps", given["warmup_steps"])
        if given["timescale"] is None:
            known = isinstance(steps, (int, float))
            given["timescale"] = (steps or 10_000) if known else jnp.where(steps > 0, steps, 10_000)
        return given

    def decline(self, elapsed: Array) -> Array:
        """See :func:`inverse_sqrt`."""
        timescale = as_count(self.timescale)
        return as_float(self.lr) * jnp.sqrt(ratio(timescale, elapsed + timescale))


inverse_sqrt = register("inverse_sqrt", InverseSqrt)


@pytree
class CosineWithWarmup(WithWarmup):
    r"""An lr that rises linearly from 0 and falls along a cosine to ``min_ratio·lr``.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \left(min\_ratio + (1 - min\_ratio) \frac{1 + \cos(2\pi\, num\_cycles \cdot p)}{2}\right), \quad
        p = \frac{t - warmup\_steps}{total\_steps - warmup\_steps}

    Past the end the cosine goes on: with half a cycle the lr rises again, as in the source.

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_cosine_schedule_with_warmup`` and, for a ``min_ratio``,
    ``get_cosine_with_min_lr_schedule_with_warmup``.

    Examples
    --------
    >>> cosine_with_warmup(lr=1.0, warmup_steps=2, total_steps=6)([0, 1, 2, 4, 6]).round(6).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    total_steps: Any = count()
    num_cycles: Any = pure(0.5, POSITIVE, "Waves until ``total_steps``; half of one by default.")
    min_ratio: Any = pure(0.0, FRACTION)

    def decline(self, elapsed: Array) -> Array:
        """See :func:`cosine_with_warmup`."""
        # Half a wave; the default of half a cycle leaves its length a whole number of steps, exact in float32.
        half = as_float(steps_after(self.warmup_steps, self.total_steps)) / (2 * as_float(self.num_cycles))
        remaining = jnp.abs(half - as_float(elapsed) % (2 * half))
        share = blend(1.0, self.min_ratio, (half - remaining) / half, remaining / half, "cos")
        return as_float(self.lr) * share


cosine_with_warmup = register("cosine_with_warmup", CosineWithWarmup)


@pytree
class CosineWithRestartsAndWarmup(WithWarmup):
    r"""An lr that rises linearly from 0 and falls along half a cosine to 0, ``num_cycles`` times over.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \frac{1 + \cos(\pi (num\_cycles \cdot p \bmod 1))}{2}, \quad
        p = \frac{t - warmup\_steps}{total\_steps - warmup\_steps} < 1

    and 0 from ``total_steps`` on.

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

    total_steps: Any = count()
    num_cycles: Any = Whole(1, POSITIVE)

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


cosine_with_restarts_and_warmup = register("cosine_with_restarts_and_warmup", CosineWithRestartsAndWarmup)


SHAPES = ("linear", "cosine", "1-sqrt")


def _fall(shape: str, done: Array, left: Array) -> Array:
    """From 1 to 0; read backwards (``done`` and ``left`` exchanged) it is the rise of the same shape."""
    if shape == "linear":
        return left
    if shape == "cosine":
        return half_cosine(left)
    return left / (1 + jnp.sqrt(done))  # 1 − √done, without its cancellation


@pytree
class WarmupStableDecay(Factor):
    r"""An lr that rises, stays, and falls at the end.

    .. math::
        \eta(t) = lr \cdot (min\_ratio + (1 - min\_ratio) \cdot s(t))

    with :math:`s` rising from 0 to 1 over ``warmup_steps``, 1 for ``stable_steps``, and falling from 1 to 0 over
    ``decay_steps``: along ``1 − x`` (linear), ``(1 + cos πx)/2`` (cosine) or ``1 − √x`` (1-sqrt), the rise along the
    same curve backwards.

    Parameters
    ----------
    warmup_shape, decay_shape : "linear", "cosine" or "1-sqrt"

    References
    ----------
    Hu et al. 2024 (2404.06395) for the three stages, Hägele et al. 2024 (2405.18392) for 1 − √x; transformers
    (4.56), ``optimization.py``, ``get_wsd_schedule``.

    Examples
    --------
    >>> schedule = warmup_stable_decay(lr=1.0, warmup_steps=2, stable_steps=4, decay_steps=4, decay_shape="linear")
    >>> schedule([0, 1, 2, 6, 8, 10]).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """

    lr: Any = level()
    warmup_steps: Any = count(None, NONNEGATIVE)
    stable_steps: Any = count(None, NONNEGATIVE)
    decay_steps: Any = count(None, NONNEGATIVE)
    min_ratio: Any = pure(0.0, FRACTION, "The share of ``lr`` where the rise begins and the fall ends.")
    warmup_shape: str = option("linear", *SHAPES)
    decay_shape: str = option("cosine", *SHAPES)

    def factor_at(self, t: Array) -> Array:
        """See :func:`warmup_stable_decay`."""
        warmup, decay = as_count(self.warmup_steps), as_count(self.decay_steps)
        decay_start = warmup + as_count(self.stable_steps)
        done, left = _shares(t, warmup)
        rise = _fall(self.warmup_shape, left, done)
        done, left = _shares(jnp.maximum(t - decay_start, 0), decay)
        fall = _fall(self.decay_shape, done, left)
        share = jnp.where(t < warmup, rise, jnp.where(t < decay_start, 1, jnp.where(t < decay_start + decay, fall, 0)))
        lowest = as_float(self.min_ratio)
        return share * (1 - lowest) + lowest


def _shares(t: Array, length: Array) -> tuple[Array, Array]:
    elapsed, remaining = elapsed_and_remaining(t, length)
    return ratio(elapsed, jnp.maximum(length, 1)), ratio(remaining, jnp.maximum(length, 1))


warmup_stable_decay = register("warmup_stable_decay", WarmupStableDecay)
