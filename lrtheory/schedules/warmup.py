"""A linear rise of the lr from 0, and then a decline: constant, linear, polynomial, inverse square root."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import is_concrete
from .anneal import elapsed_and_remaining, ramp, ratio
from .factor import Factor
from .schedule import NONNEGATIVE, POSITIVE, Schedule, as_count, as_float, number, pytree, register


class WithWarmup(Schedule):
    """``lr·t/warmup_steps`` until the warm-up is over, and a decline of its own from there."""

    lr: Any
    warmup_steps: Any

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


def warmup_numbers(owner: str, lr: Any, warmup_steps: Any) -> dict[str, Any]:
    """The two numbers that every schedule with a warm-up has."""
    return {
        "lr": number(owner, "lr", lr, NONNEGATIVE),
        "warmup_steps": number(owner, "warmup_steps", warmup_steps, NONNEGATIVE),
    }


@pytree
class ConstantWithWarmup(Factor):
    """A rise from 0, then ``lr``."""

    lr: Any
    warmup_steps: Any

    def factor_at(self, t: Array) -> Array:
        """See :func:`constant_with_warmup`."""
        return ramp(t, self.warmup_steps)


@register
def constant_with_warmup(*, lr: Any, warmup_steps: Any) -> ConstantWithWarmup:
    r"""An lr that rises linearly from 0 and stays.

    .. math:: \eta(t) = lr \cdot \min(1, t / warmup\_steps)

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps : scalar in [0, inf)
        The lr at ``t = 0`` is 0, unless there are none.

    Returns
    -------
    Schedule

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_constant_schedule_with_warmup``.

    Examples
    --------
    >>> constant_with_warmup(lr=1.0, warmup_steps=4)([0, 2, 4, 9]).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    return ConstantWithWarmup(**warmup_numbers("constant_with_warmup", lr, warmup_steps))


@pytree
class LinearWithWarmup(WithWarmup):
    """A rise from 0, then a straight line to 0."""

    lr: Any
    warmup_steps: Any
    total_steps: Any

    def decline(self, elapsed: Array) -> Array:
        """See :func:`linear_with_warmup`."""
        length = steps_after(self.warmup_steps, self.total_steps)
        # A total below the warm-up leaves nothing to decline over.
        end = jnp.maximum(as_count(self.total_steps) - as_count(self.warmup_steps), 0)
        return as_float(self.lr) * ratio(jnp.maximum(end - elapsed, 0), length)


@register
def linear_with_warmup(*, lr: Any, warmup_steps: Any, total_steps: Any) -> LinearWithWarmup:
    r"""An lr that rises linearly from 0, falls linearly to 0 and stays there.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \max\left(0, \frac{total\_steps - t}{total\_steps - warmup\_steps}\right)

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps : scalar in [0, inf)
    total_steps : scalar in (0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_linear_schedule_with_warmup``.

    Examples
    --------
    >>> linear_with_warmup(lr=1.0, warmup_steps=2, total_steps=6)([0, 1, 2, 4, 6, 9]).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    return LinearWithWarmup(
        **warmup_numbers("linear_with_warmup", lr, warmup_steps),
        total_steps=number("linear_with_warmup", "total_steps", total_steps, POSITIVE),
    )


@pytree
class PolynomialWithWarmup(WithWarmup):
    """A rise from 0, then a power of the share of steps left."""

    lr: Any
    warmup_steps: Any
    total_steps: Any
    lr_end: Any
    power: Any

    def decline(self, elapsed: Array) -> Array:
        """See :func:`polynomial_with_warmup`."""
        length = steps_after(self.warmup_steps, self.total_steps)
        _, remaining = elapsed_and_remaining(elapsed, length)
        share = ratio(remaining, length) ** as_float(self.power)
        # Past the end the lr is lr_end even for power 0, which would keep the share at 1.
        share = jnp.where(elapsed > length, 0, share)
        return as_float(self.lr) * share + as_float(self.lr_end) * (1 - share)


@register
def polynomial_with_warmup(
    *, lr: Any, warmup_steps: Any, total_steps: Any, lr_end: Any = 1e-7, power: Any = 1.0
) -> PolynomialWithWarmup:
    r"""An lr that rises linearly from 0 and falls to ``lr_end`` as a power of the share of steps left.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr\_end + (lr - lr\_end) \left(\frac{total\_steps - t}{total\_steps - warmup\_steps}\right)^{power}

    Parameters
    ----------
    lr : scalar in (0, inf)
    warmup_steps : scalar in [0, inf)
    total_steps : scalar in (0, inf)
    lr_end : scalar in [0, lr)
    power : scalar in [0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    transformers (4.56), ``optimization.py``, ``get_polynomial_decay_schedule_with_warmup``.

    Examples
    --------
    >>> schedule = polynomial_with_warmup(lr=1.0, warmup_steps=2, total_steps=6, lr_end=0.0, power=2.0)
    >>> schedule([0, 1, 2, 4, 6, 9]).tolist()
    [0.0, 0.5, 1.0, 0.25, 0.0, 0.0]
    """
    owner = "polynomial_with_warmup"
    numbers = warmup_numbers(owner, lr, warmup_steps)
    lr_end = number(owner, "lr_end", lr_end, NONNEGATIVE)
    if is_concrete(lr) and is_concrete(lr_end) and not np.all(np.asarray(lr_end) < np.asarray(lr)):
        raise ValueError(f"{owner}: lr_end={lr_end} must be smaller than lr={lr}")
    return PolynomialWithWarmup(
        **numbers,
        total_steps=number(owner, "total_steps", total_steps, POSITIVE),
        lr_end=lr_end,
        power=number(owner, "power", power, NONNEGATIVE),
    )


@pytree
class InverseSqrt(WithWarmup):
    """A rise from 0, then one over the square root of the step count."""

    lr: Any
    warmup_steps: Any
    timescale: Any

    def decline(self, elapsed: Array) -> Array:
        """See :func:`inverse_sqrt`."""
        timescale = as_count(self.timescale)
        return as_float(self.lr) * jnp.sqrt(ratio(timescale, elapsed + timescale))


@register
def inverse_sqrt(*, lr: Any, warmup_steps: Any, timescale: Any = None) -> InverseSqrt:
    r"""An lr that rises linearly from 0 and falls with the inverse square root of the step count.

    .. math::
        \eta(t) = lr \cdot \frac{t}{warmup\_steps} \;\; (t < warmup\_steps), \qquad
        lr \cdot \sqrt{\frac{timescale}{t - warmup\_steps + timescale}}

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps : scalar in [0, inf)
    timescale : scalar in (0, inf), optional
        Steps after the warm-up by which the lr has fallen to 1/√2. By default that of the warm-up, which gives
        Vaswani et al.'s schedule, or 10000 without one.

    Returns
    -------
    Schedule

    References
    ----------
    Vaswani et al. 2017 (1706.03762), eq. 3, up to its constant; transformers (4.56), ``optimization.py``,
    ``get_inverse_sqrt_schedule``.

    Examples
    --------
    >>> inverse_sqrt(lr=1.0, warmup_steps=4)([0, 2, 4, 16]).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    numbers = warmup_numbers("inverse_sqrt", lr, warmup_steps)
    warmup_steps = numbers["warmup_steps"]
    if timescale is None and isinstance(warmup_steps, (int, float)):
        timescale = warmup_steps or 10_000
    elif timescale is None:
        timescale = jnp.where(warmup_steps > 0, warmup_steps, 10_000)
    return InverseSqrt(**numbers, timescale=number("inverse_sqrt", "timescale", timescale, POSITIVE))
