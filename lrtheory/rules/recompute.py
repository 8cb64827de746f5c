"""Telling the compiler to compute an array twice instead of keeping it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import is_concrete


def again(h: Any, t: Array) -> Any:
    """The same numbers, but other values to the compiler: what is made with them is made anew in the loop that needs it.

    XLA on CPU writes each new array in a loop of its own. An array that several loops need, such as the gradient with
    its decay term, it stores in memory when one of them also reads the result of another: as much memory again as the
    parameters, and two more passes. No step count ``t`` is negative, but the compiler does not know. A number that is a
    constant of the program stays one, so that a term of weight 0 vanishes.
    """
    return jax.tree.map(lambda number: number if is_concrete(number) else jnp.where(t >= 0, number, 0), h)
