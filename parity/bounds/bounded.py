"""A value with a bound of how far a computed one can be from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import finfo


class Format(NamedTuple):
    """What rounding to a dtype can do: unit roundoff, underflow, overflow.

    Attributes
    ----------
    u : float
        Largest relative error of rounding a normal number.
    tiny : float
        The smallest normal number.
    lost : float
        Largest absolute error of rounding a smaller one: half a subnormal's spacing, or all of it in float32 and
        float64, whose subnormals XLA flushes to zero.
    top : float
        From where numbers are rounded to infinity.
    """

    u: float
    tiny: float
    lost: float
    top: float

    @classmethod
    def of(cls, dtype: Any) -> Format:
        """Of a floating dtype."""
        info = finfo(dtype)
        u, tiny, largest = float(info.eps) / 2, float(info.smallest_normal), float(info.max)
        return cls(u, tiny, float(info.smallest_subnormal) / 2 if info.bits < 32 else tiny, largest * (1 + u / 2))

    def rounding(self, value: np.ndarray, error: np.ndarray) -> np.ndarray:
        """``error`` and one rounding of a number that is within it of ``value``."""
        size = np.abs(value)
        rounded = error + self.u * size
        small = (size - error < self.tiny) & (size + error > 0)
        rounded = rounded + np.where(small, self.lost, 0.0)
        # From an infinite state equal forms of one average part: β·v + (1−β)·g² stays, v + (1−β)·(g² − v) is nan.
        return np.where(size + error < self.top, rounded, np.inf)


class Bounded:
    """Values and the largest distance of a computed result from each.

    ``nonnegative`` says that no computed result is below 0, however it was rounded: squares, and sums, products, quotients
    and roots of what is nonnegative.
    """

    __slots__ = ("error", "format", "held", "nonnegative", "value")
    __array_ufunc__ = None  # numpy leaves every operation to this class

    def __init__(self, value: Any, error: Any, format: Format, held: bool = False, nonnegative: bool = False) -> None:
        self.value, self.error = np.asarray(value, float), np.asarray(error, float)
        self.format, self.held, self.nonnegative = format, held, nonnegative

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.value.shape

    def rounded(self, value: Any, error: Any, nonnegative: bool = False) -> Bounded:
        """The result of an operation, rounded once more than its operands' errors let it be off."""
        return Bounded(value, self.format.rounding(value, error), self.format, nonnegative=nonnegative)

    def _of(self, other: Any) -> Bounded:
        return other if isinstance(other, Bounded) else Bounded(float(other), 0.0, self.format, nonnegative=other >= 0)

    def __add__(self, other: Any) -> Bounded:
        other = self._of(other)
        nonnegative = self.nonnegative and other.nonnegative
        return self.rounded(self.value + other.value, self.error + other.error, nonnegative)

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.error, self.format)

    def __sub__(self, other: Any) -> Bounded:
        return self + -self._of(other)

    def __mul__(self, other: Any) -> Bounded:
        other = self._of(other)
        x, y = np.abs(self.value), np.abs(other.value)
        error = x * other.error + y * self.error + self.error * other.error
        square = other is self or (self.nonnegative and other.nonnegative)
        return self.rounded(self.value * other.value, error, square)

    def __truediv__(self, other: Any) -> Bounded:
        other = self._of(other)
        quotient = self.value / other.value
        least = np.abs(other.value) - other.error
        error = (self.error + np.abs(quotient) * other.error) / least
        return self.rounded(quotient, np.where(least > 0, error, np.inf), self.nonnegative and other.nonnegative)

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
        return Bounded(self.value[where], self.error[where], self.format, nonnegative=self.nonnegative)
