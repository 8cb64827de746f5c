r"""Powers ``γⁿ`` of a decay factor that stay right for millions of steps in float32.

A γ rounded to float32 is off by up to 3e-8, and its millionth power by 3 %. So γ is kept as two leaves,

.. math:: \gamma = high \cdot (1 + rest), \qquad \gamma^n = high^n \cdot e^{n \log(1 + rest)}

with ``high`` a float32 number and ``rest`` what it leaves out. Both are exact in float64 as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import is_concrete
from .schedule import NONNEGATIVE, as_float, number


class Gamma(NamedTuple):
    """A decay factor as ``high·(1 + rest)``."""

    high: Any
    rest: Any


def gamma_of(owner: str, name: str, value: Any) -> Gamma:
    """Split a known decay factor; a traced one has only the digits of its own dtype."""
    value = number(owner, name, value, NONNEGATIVE)
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
