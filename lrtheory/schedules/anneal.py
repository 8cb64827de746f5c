r"""Moving from one lr to another, without cancellation.

The textbook forms ``end + (start − end)·(1 + cos πx)/2`` and ``start + (end − start)·x`` lose their digits where the
lr has become small: in float32 half a cosine over a million steps is 0 for its last 77 steps. Written as

.. math:: start \cdot w(1-x) + end \cdot w(x), \qquad w(x) = \sin^2(\pi x/2) \;\text{ or }\; w(x) = x

they are sums of non-negative terms, each good to a few roundings, provided that ``1 − x`` is formed from whole steps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .schedule import as_count, as_float

STRATEGIES = ("cos", "linear")


def elapsed_and_remaining(t: Array, length: Any) -> tuple[Array, Array]:
    """Steps done and steps left of ``length``, both held inside it; exact when both are integers."""
    length = as_count(length)
    elapsed = jnp.clip(t, 0, length)
    return elapsed, length - elapsed


def difference(a: Array, b: Array) -> Array:
    """``a − b`` as a float, formed in integers when both are whole steps."""
    whole = jnp.issubdtype(a.dtype, jnp.integer) and jnp.issubdtype(b.dtype, jnp.integer)
    return as_float(a - b) if whole else as_float(a) - as_float(b)


def ratio(part: Any, whole: Any) -> Array:
    """A quotient of two step counts, as a float."""
    return as_float(part) / as_float(whole)


def half_cosine(x: Array) -> Array:
    """Rise from 0 to 1 as ``(1 − cos πx)/2``, relatively accurate at 0 too."""
    return jnp.sin(jnp.pi / 2 * x) ** 2


def blend(start: Any, end: Any, done: Array, left: Array, strategy: str = "linear") -> Array:
    """From ``start`` to ``end``: ``done`` and ``left`` are the shares of the way, which add up to 1."""
    if strategy == "cos":
        done, left = half_cosine(done), half_cosine(left)
    return as_float(start) * left + as_float(end) * done


def ramp(t: Array, length: Any) -> Array:
    """Rise from 0 to 1 over ``length`` steps; 1 throughout when there are none."""
    length = as_count(length)
    return jnp.where(t < length, ratio(t, jnp.maximum(length, 1)), 1)
