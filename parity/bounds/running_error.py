r"""Arithmetic that carries a bound of its own rounding error.

Running error analysis (Wilkinson 1960; Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.3): beside
every value goes a bound of how far a computation in the working precision can be from it. Each operation adds one
rounding, ``u`` of its result, to what its operands bring. A definition of the oracle evaluated in this arithmetic so
yields the bound that belongs to its formula, term by term, cancellation included.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..oracle import HighPrecision

#: Roundings in a weight sum 1 − βᵗ that is formed accurately: our ``one_minus_power`` is tested to 4 ulp, torch rounds once.
CORRECTION = 4
#: Roundings in RAdam's rectifier; empirical: ours is within 6 ulp for β₂ from 0.9 to 0.9999 at every step to 10⁴.
RECTIFIER = 8


class Bounded:
    """Values and the largest distance of a computed result from each."""

    __slots__ = ("error", "held", "u", "value")
    __array_ufunc__ = None  # numpy leaves every operation to this class

    def __init__(self, value: Any, error: Any, u: float, held: bool = False) -> None:
        self.value, self.error, self.u, self.held = np.asarray(value, float), np.asarray(error, float), u, held

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.value.shape

    def _rounded(self, value: Any, error: Any) -> Bounded:
        return Bounded(value, error + self.u * np.abs(value), self.u)

    def _of(self, other: Any) -> Bounded:
        return other if isinstance(other, Bounded) else Bounded(float(other), 0.0, self.u)

    def __add__(self, other: Any) -> Bounded:
        other = self._of(other)
        return self._rounded(self.value + other.value, self.error + other.error)

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.error, self.u)

    def __sub__(self, other: Any) -> Bounded:
        return self + -self._of(other)

    def __mul__(self, other: Any) -> Bounded:
        other = self._of(other)
        x, y = np.abs(self.value), np.abs(other.value)
        return self._rounded(self.value * other.value, x * other.error + y * self.error + self.error * other.error)

    def __truediv__(self, other: Any) -> Bounded:
        other = self._of(other)
        quotient = self.value / other.value
        least = np.abs(other.value) - other.error
        error = (self.error + np.abs(quotient) * other.error) / least
        return self._rounded(quotient, np.where(least > 0, error, np.inf))

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Bounded:
        return self._of(other) - self

    def __rtruediv__(self, other: Any) -> Bounded:
        return self._of(other) / self

    def __gt__(self, other: Any) -> Any:
        return self.value > self._of(other).value

    def __lt__(self, other: Any) -> Any:
        return self.value < self._of(other).value

    def __eq__(self, other: object) -> Any:
        return self.value == self._of(other).value

    def __ne__(self, other: object) -> Any:
        return self.value != self._of(other).value

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, where: Any) -> Bounded:
        return Bounded(self.value[where], self.error[where], self.u)


class RunningError:
    """The operations of :class:`~parity.oracle.HighPrecision`, with bounds for the unit roundoff of ``dtype``.

    A number that the dtype does not hold exactly brings one rounding; so does a complement 1 − β. Weight sums 1 − βᵗ
    bring :data:`CORRECTION`: they must be formed accurately, and an implementation that subtracts a rounded power from
    1 is over the bound.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.u = float(np.finfo(dtype).eps) / 2
        self._exact = HighPrecision()

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Infinities and nan are results here, not accidents."""
        with np.errstate(all="ignore"):
            yield

    def _scalar(self, value: float, roundings: float) -> Bounded:
        return Bounded(value, roundings * self.u * abs(value), self.u)

    def number(self, value: float) -> Bounded:
        """A number, rounded once unless the dtype holds it."""
        exact = float(self.dtype.type(value)) == value
        return Bounded(value, 0.0 if exact else self.u * abs(value), self.u, held=True)

    def array(self, values: Any) -> Bounded:
        """Numbers of the dtype, exact."""
        values = np.asarray(values, float)
        return Bounded(values, np.zeros_like(values), self.u)

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
        return x._rounded(root, np.where(low < 0, np.inf, error))

    def power(self, x: Bounded, y: Bounded) -> Bounded:
        """``x**y``, two roundings and what the logarithm makes of the exponent's."""
        base, exponent = float(x.value), float(y.value)
        value = base**exponent
        if base == 0:
            return self._scalar(value, 0)
        log = abs(math.log(base))
        brought = abs(exponent) * float(x.error) / base + log * float(y.error)
        return Bounded(value, value * (brought + (2 + log * abs(exponent)) * self.u), self.u)

    def maximum(self, x: Bounded, y: Bounded) -> Bounded:
        """The larger; exact."""
        return Bounded(np.maximum(x.value, y.value), np.maximum(x.error, y.error), self.u)

    def minimum(self, x: Bounded, y: Bounded) -> Bounded:
        """The smaller; exact."""
        return Bounded(np.minimum(x.value, y.value), np.maximum(x.error, y.error), self.u)

    def where(self, condition: Any, x: Bounded, y: Bounded) -> Bounded:
        """``x`` where the condition holds, else ``y``."""
        return Bounded(np.where(condition, x.value, y.value), np.where(condition, x.error, y.error), self.u)

    def size(self, x: Bounded) -> Bounded:
        """Absolute value; exact."""
        return Bounded(np.abs(x.value), x.error, self.u)

    def sign(self, x: Bounded) -> Bounded:
        """The sign; off by up to 2 where rounding can turn it."""
        return Bounded(
            np.sign(x.value), np.where(np.abs(x.value) > x.error, 0.0, np.where(x.error > 0, 2.0, 0.0)), self.u
        )

    def sum(self, x: Bounded, axis: int | None = None) -> Bounded:
        """A sum in any order: as many roundings of the sum of sizes as there are terms."""
        count = x.value.size if axis is None else x.value.shape[axis]
        add = lambda values: np.sum(values, axis=axis, keepdims=axis is not None)  # noqa: E731
        return Bounded(add(x.value), add(x.error) + count * self.u * add(np.abs(x.value)), self.u)

    def matmul(self, x: Bounded, y: Bounded) -> Bounded:
        """A product of matrices, each entry a sum in any order."""
        brought = np.abs(x.value) @ y.error + x.error @ np.abs(y.value) + x.error @ y.error
        count = x.value.shape[1] + 1
        return Bounded(x.value @ y.value, brought + count * self.u * (np.abs(x.value) @ np.abs(y.value)), self.u)

    def transpose(self, x: Bounded) -> Bounded:
        """The transposed matrix."""
        return Bounded(x.value.T, x.error.T, self.u)
