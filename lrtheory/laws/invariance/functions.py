"""Functions of a weight that do not see its length, for checks: a toy on the sphere and a layer with batch normalisation."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

SHAPE = (6, 4)


def toy(w: Array, data: Any) -> Array:
    """A quadratic and a cubic form of the direction w/‖w‖."""
    quadratic, cubic = data
    u = (w / jnp.sqrt(jnp.sum(w * w))).ravel()
    return u @ quadratic @ u + jnp.sum((cubic @ u) ** 3)


def toy_data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random forms, of a size that makes the gradient at unit length about 1."""
    size = SHAPE[0] * SHAPE[1]
    symmetric = rng.standard_normal((size, size)) / size**0.5
    return (symmetric + symmetric.T) / 2, rng.standard_normal((3, size)) / 3


def normalised_layer(w: Array, data: Any) -> Array:
    """Mean squared error of tanh of a linear layer whose outputs are standardised over the batch, without an eps."""
    x, y = data
    z = x @ w
    centred = z - jnp.mean(z, axis=0)
    standard = centred / jnp.sqrt(jnp.mean(centred * centred, axis=0))
    return jnp.mean((jnp.tanh(standard) - y) ** 2)


def layer_data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen examples with random targets."""
    return rng.standard_normal((16, SHAPE[0])), rng.standard_normal((16, SHAPE[1]))


FUNCTIONS = ((toy, toy_data), (normalised_layer, layer_data))
