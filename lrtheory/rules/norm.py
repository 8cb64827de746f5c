"""The Euclidean norm of arrays of any size."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def euclidean_norm(x: Array) -> Array:
    """Scaled by the largest entry, so that its squares neither overflow nor vanish; nan and inf pass through."""
    largest = jnp.max(jnp.abs(x), initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.sum((x / scale) ** 2))
