r"""Terms of several schedules: moving from one lr to another, and powers of a decay factor, both without cancellation.

The textbook forms ``end + (start − end)·(1 + cos πx)/2`` and ``start + (end − start)·x`` lose their digits where the
lr has become small: in float32 half a cosine over a million steps is 0 for its last 77 steps. Written as

.. math:: start \cdot w(1-x) + end \cdot w(x), \qquad w(x) = \sin^2(\pi x/2) \;\text{ or }\; w(x) = x

they are sums of non-negative terms, each good to a few roundings, provided that ``1 − x`` is formed from whole steps.

A decay factor γ rounded to float32 is off by up to 3e-8, and its millionth power by 3 %. So γ is kept as two leaves,

.. math:: \gamma = high \cdot (1 + rest), \qquad \gamma^n = high^n \cdot e^{n \log(1 + rest)}

with ``high`` a float32 number and ``rest`` what it leaves out. Both are exact in float64 as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import is_concrete
from ._schedule import Scalar, as_count, as_float

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


class Gamma(NamedTuple):
    """A decay factor as ``high·(1 + rest)``."""

    high: Any
    rest: Any


class DecayFactor(Scalar):
    """A number that is split into a :class:`Gamma`; a traced one has only the digits of its own dtype."""

    def checked(self, owner: str, name: str, value: Any) -> Gamma:
        """The factor in two parts."""
        value = super().checked(owner, name, value)
        if not is_concrete(value):
            return Gamma(value, jnp.zeros_like(as_float(value)))
        exact = np.asarray(value, np.float64)
        with np.errstate(over="ignore", under="ignore"):
            high = exact.astype(np.float32).astype(np.float64)
        splittable = np.isfinite(high) & (high > 1e-30)  # elsewhere the rest would not be small, or not a number
        high = np.where(splittable, high, exact)
        rest = np.where(splittable, exact - high, 0) / np.where(splittable, high, 1)
        return Gamma(high, rest) if exact.ndim else Gamma(float(high), float(rest))


def power(gamma: Gamma, n: Array) -> Array:
    """``γⁿ`` for counts ``n ≥ 0``; 1 at ``n = 0`` whatever γ is."""
    n = as_float(n)
    rough = as_float(gamma.high) ** n
    # Past the ends of the dtype the correction would be inf where the power is 0, or 0 where it is inf.
    return jnp.where((rough == 0) | jnp.isinf(rough), rough, rough * jnp.exp(n * jnp.log1p(as_float(gamma.rest))))
