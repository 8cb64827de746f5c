"""The ratio of norms by which layer-wise rules scale a tensor's update."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from .norm import euclidean_norm


def trust_ratio(coefficient: Array, p: Array, update: Array, eps: Array) -> Array:
    """``coefficient·‖p‖/(‖update‖ + eps)``, and 1 where either norm is 0, as optax 0.2.8 has it.

    The coefficient does not enter where a norm is 0: a tensor that starts at zero takes full steps until it has moved.
    """
    p_norm, update_norm = euclidean_norm(p), euclidean_norm(update)
    absent = (p_norm == 0) | (update_norm == 0)
    return jnp.where(absent, 1, coefficient * p_norm / (jnp.where(absent, 1, update_norm) + eps))
