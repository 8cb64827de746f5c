r"""Arithmetic that carries a bound of its own rounding error.

Running error analysis (Wilkinson 1960; Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.3): beside
every value goes a bound of how far a computation in the working precision can be from it. Each operation adds one
rounding, ``u`` of its result, to what its operands bring; below the normal numbers a fixed amount besides, and beyond the
largest there is no bound. A definition of the oracle evaluated in this arithmetic so yields the bound that belongs to its
formula, term by term, cancellation included.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..oracle import HighPrecision
from .bounded import Bounded, Format

#: Roundings in a weight sum 1 − βᵗ that is formed accurately: our ``one_minus_power`` is tested to 4 ulp, torch rounds once.
CORRECTION = 4
#: Roundings in RAdam's rectifier; empirical: ours is within 6 ulp for β₂ from 0.9 to 0.9999 at every step to 10⁴.
RECTIFIER = 8


class RunningError:
    """The operations of :class:`~parity.oracle.HighPrecision`, with bounds for the unit roundoff and range of ``dtype``.

    A number that the dtype does not hold exactly brings one rounding; so does a complement 1 − β. Weight sums 1 − βᵗ
    bring :data:`CORRECTION`: they must be formed accurately, and an implementation that subtracts a rounded power from
    1 is over the bound.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.format = Format.of(dtype)
        self._exact = HighPrecision()

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Infinities and nan are results here, not accidents."""
        with np.errstate(all="ignore"):
            yield

    def _scalar(self, value: float, roundings: float) -> Bounded:
        return Bounded(value, roundings * self.format.u * abs(value), self.format, nonnegative=value >= 0)

    def number(self, value: float) -> Bounded:
        """A number, rounded once unless the dtype holds it."""
        exact = float(self.dtype.type(value)) == value
        error = 0.0 if exact else self.format.rounding(np.asarray(value, float), np.zeros(()))
        return Bounded(value, error, self.format, held=True, nonnegative=value >= 0)

    def array(self, values: Any) -> Bounded:
        """Numbers of the dtype, exact."""
        values = np.asarray(values, float)
        return Bounded(values, np.zeros_like(values), self.format, nonnegative=bool((values >= 0).all()))

    def zeros(self, shape: tuple[int, ...]) -> Bounded:
        """An array of zeros."""
        return self.array(np.zeros(shape))

    def correction(self, beta: Bounded, t: int) -> Bounded:
        """``1 − βᵗ`` within :data:`CORRECTION` roundings."""
        b = float(beta.value)
        return self._scalar(1.0 if b == 0 else -math.expm1(t * math.log(b)), CORRECTION)

    def complement(self, beta: Bounded) -> Bounded:
        """``1 − β``: of a number one rounding, of anything else what it brings."""
        return self._scalar(1 - float(beta.value), 1) if beta.held else 1 - beta

    def rectifier(self, beta: Bounded, t: int, threshold: int) -> Bounded | None:
        """RAdam's factor within :data:`RECTIFIER` roundings."""
        with self._exact.precision():
            value = self._exact.rectifier(self._exact.number(float(beta.value)), t, threshold)
        return None if value is None else self._scalar(float(value), RECTIFIER)

    def sqrt(self, x: Bounded) -> Bounded:
        """Square root; without a bound where the argument may be rounded below 0."""
        low, high = x.value - x.error, np.maximum(x.value, 0) + x.error
        root = np.sqrt(np.maximum(x.value, 0))
        error = np.maximum(np.sqrt(high) - root, root - np.sqrt(np.maximum(low, 0)))
        return x.rounded(root, error if x.nonnegative else np.where(low < 0, np.inf, error), nonnegative=True)

    def power(self, x: Bounded, y: Bounded) -> Bounded:
        """``x**y``, two roundings and what the logarithm makes of the exponent's."""
        base, exponent = float(x.value), float(y.value)
        value = base**exponent
        if base == 0:
            return self._scalar(value, 0)
        log = abs(math.log(base))
        brought = abs(exponent) * float(x.error) / base + log * float(y.error)
        error = value * (brought + (2 + log * abs(exponent)) * self.format.u)
        return Bounded(value, error, self.format, nonnegative=True)

    def maximum(self, x: Bounded, y: Bounded) -> Bounded:
        """The larger; exact."""
        either = x.nonnegative or y.nonnegative
        return Bounded(np.maximum(x.value, y.value), np.maximum(x.error, y.error), self.format, nonnegative=either)

    def minimum(self, x: Bounded, y: Bounded) -> Bounded:
        """The smaller; exact."""
        both = x.nonnegative and y.nonnegative
        return Bounded(np.minimum(x.value, y.value), np.maximum(x.error, y.error), self.format, nonnegative=both)

    def where(self, condition: Any, x: Bounded, y: Bounded) -> Bounded:
        """``x`` where the condition holds, else ``y``."""
        value, error = np.where(condition, x.value, y.value), np.where(condition, x.error, y.error)
        return Bounded(value, error, self.format, nonnegative=x.nonnegative and y.nonnegative)

    def size(self, x: Bounded) -> Bounded:
        """Absolute value; exact."""
        return Bounded(np.abs(x.value), x.error, self.format, nonnegative=True)

    def sign(self, x: Bounded) -> Bounded:
        """The sign; off by up to 2 where rounding can turn it."""
        return Bounded(
            np.sign(x.value), np.where(np.abs(x.value) > x.error, 0.0, np.where(x.error > 0, 2.0, 0.0)), self.format
        )

    def sum(self, x: Bounded, axis: int | None = None) -> Bounded:
        """A sum in any order: as many roundings of the sum of sizes as there are terms."""
        count = x.value.size if axis is None else x.value.shape[axis]
        add = lambda values: np.sum(values, axis=axis, keepdims=axis is not None)  # noqa: E731
        value, size = add(x.value), add(np.abs(x.value))
        error = add(x.error) + (count - 1) * self.format.u * size
        return x.rounded(value, np.where(size < self.format.top, error, np.inf), x.nonnegative)

    def matmul(self, x: Bounded, y: Bounded) -> Bounded:
        """A product of matrices, each entry a sum in any order."""
        brought = np.abs(x.value) @ y.error + x.error @ np.abs(y.value) + x.error @ y.error
        count = x.value.shape[1]
        sizes = np.abs(x.value) @ np.abs(y.value)
        lost = count * self.format.lost
        return x.rounded(x.value @ y.value, brought + count * self.format.u * sizes + lost)

    def transpose(self, x: Bounded) -> Bounded:
        """The transposed matrix."""
        return Bounded(x.value.T, x.error.T, self.format, nonnegative=x.nonnegative)
