"""The ratio of norms by which layer-wise rules scale a tensor's update."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def trust_ratio(coefficient: Array, p: Array, update: Array, eps: Array) -> Array:
    """``coefficient·‖p‖/(‖update‖ + eps)``, and 1 where either norm is 0, as optax 0.2.8 has it.

    The coefficient does not enter where a norm is 0: a tensor that starts at zero takes full steps until it has moved.
    """
    p_norm, update_norm = _norm(p), _norm(update)
    absent = (p_norm == 0) | (update_norm == 0)
    return jnp.where(absent, 1, coefficient * p_norm / (jnp.where(absent, 1, update_norm) + eps))


def _norm(x: Array) -> Array:
    """Euclidean norm, scaled by the largest entry so that its squares neither overflow nor vanish."""
    largest = jnp.max(jnp.abs(x), initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.sum((x / scale) ** 2))
