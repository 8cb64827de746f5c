"""Weight decay that is off at 0, whatever the parameters are."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def decayed(weight: Array, p: Array) -> Array:
    """``weight·p``, and 0 where the weight is 0: a parameter at inf would give 0·inf = nan, where torch skips the term."""
    return jnp.where(weight == 0, 0, weight * p)
