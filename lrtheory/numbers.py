"""The numbers of a rule: which values are allowed, and what is said when one is not."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer


class Range(NamedTuple):
    """An interval of allowed values; ``open_high`` leaves the upper end out, ``open_low`` the lower."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def contains(self, value: Any) -> bool:
        """Whether every entry of ``value`` lies inside; nan never does."""
        value = np.asarray(value)
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(np.all(above & below))

    def __str__(self) -> str:
        left = "(" if self.open_low or self.low == -math.inf else "["
        right = ")" if self.open_high or self.high == math.inf else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


NONNEGATIVE = Range(0.0)
DECAY = Range(0.0, 1.0, open_high=True)
REAL = Range()


def is_concrete(value: Any) -> bool:
    """Whether the value is known now, and not only when a compiled program runs."""
    return not isinstance(value, Tracer)


def as_number(owner: str, name: str, value: Any) -> Any:
    """A real scalar (or an array of them, for ``vmap``) as a pytree leaf; plain numbers become ``float``.

    Plain numbers of every kind become ``float`` so that a compiled step is reused whatever type the caller wrote.
    """
    if isinstance(value, bool) or value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{owner}: {name}={value!r} is not a real number")
    if isinstance(value, (numbers.Real, np.floating, np.integer)):
        return float(value)
    try:
        dtype = np.dtype(jax.numpy.result_type(value))
    except TypeError as error:
        raise TypeError(f"{owner}: {name}={value!r} is not a real number") from error
    if not (jax.numpy.issubdtype(dtype, np.floating) or jax.numpy.issubdtype(dtype, np.integer)):
        raise TypeError(f"{owner}: {name} has dtype {dtype}; a real number is needed")
    return value


def check_range(owner: str, name: str, value: Any, allowed: Range) -> None:
    """Refuse a value outside its range, quoting it; a traced value cannot be looked at and passes."""
    if is_concrete(value) and not allowed.contains(value):
        raise ValueError(f"{owner}: {name}={value} is outside {allowed}")
