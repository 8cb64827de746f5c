"""Warm-up, a long stable stretch, and a decay at the end."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .anneal import elapsed_and_remaining, half_cosine, ratio
from .factor import Factor
from .schedule import FRACTION, NONNEGATIVE, as_count, as_float, choice, number, pytree, register, static

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
    """A rise to ``lr``, ``lr`` for a while, and a fall."""

    lr: Any
    warmup_steps: Any
    stable_steps: Any
    decay_steps: Any
    min_ratio: Any
    warmup_shape: str = static("linear")
    decay_shape: str = static("cosine")

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


@register
def warmup_stable_decay(
    *,
    lr: Any,
    warmup_steps: Any,
    stable_steps: Any,
    decay_steps: Any,
    min_ratio: Any = 0.0,
    warmup_shape: str = "linear",
    decay_shape: str = "cosine",
) -> WarmupStableDecay:
    r"""An lr that rises, stays, and falls at the end.

    .. math::
        \eta(t) = lr \cdot (min\_ratio + (1 - min\_ratio) \cdot s(t))

    with :math:`s` rising from 0 to 1 over ``warmup_steps``, 1 for ``stable_steps``, and falling from 1 to 0 over
    ``decay_steps``: along ``1 − x`` (linear), ``(1 + cos πx)/2`` (cosine) or ``1 − √x`` (1-sqrt), the rise along the
    same curve backwards.

    Parameters
    ----------
    lr : scalar in [0, inf)
    warmup_steps, stable_steps, decay_steps : scalars in [0, inf)
    min_ratio : scalar in [0, 1]
        The share of ``lr`` where the rise begins and the fall ends.
    warmup_shape, decay_shape : "linear", "cosine" or "1-sqrt"

    Returns
    -------
    Schedule

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
    owner = "warmup_stable_decay"
    counts = {"warmup_steps": warmup_steps, "stable_steps": stable_steps, "decay_steps": decay_steps}
    return WarmupStableDecay(
        lr=number(owner, "lr", lr, NONNEGATIVE),
        **{name: number(owner, name, value, NONNEGATIVE) for name, value in counts.items()},
        min_ratio=number(owner, "min_ratio", min_ratio, FRACTION),
        warmup_shape=choice(owner, "warmup_shape", warmup_shape, SHAPES),
        decay_shape=choice(owner, "decay_shape", decay_shape, SHAPES),
    )
