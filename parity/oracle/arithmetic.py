"""Arithmetic in sixty decimal digits on numpy arrays of numbers.

:mod:`decimal` (libmpdec) is used for its speed; tests run the same definitions with mpmath and with exact fractions.
"""

from __future__ import annotations

import contextlib
import decimal
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

DIGITS = 60


class HighPrecision:
    """What a definition computes with: numbers, arrays of them, and the operations beyond ``+ − · /``.

    A float is taken as the binary fraction that it is: nothing is rounded on the way in. The exponent is unbounded for
    all practical purposes, so that nothing overflows or vanishes that does so in floating point.
    """

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """Sixty digits; 0/0 is nan and 1/0 is inf, as in floating point."""
        with decimal.localcontext(decimal.Context(prec=DIGITS, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[])):
            yield

    def number(self, value: float) -> Any:
        """The exact value of a float."""
        return Decimal(value)

    def array(self, values: Any) -> Any:
        """The exact values of an array of floats."""
        values = np.asarray(values)
        exact = np.empty(values.shape, object)
        exact[...] = np.reshape([self.number(float(v)) for v in values.ravel()], values.shape)
        return exact

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """An array of zeros."""
        return self.array(np.zeros(shape))

    def correction(self, beta: Any, t: int) -> Any:
        """``1 − βᵗ``, the weight sum of an average of t terms."""
        return 1 - beta**t

    def complement(self, beta: Any) -> Any:
        """``1 − β``."""
        return 1 - beta

    def rectifier(self, beta: Any, t: int, threshold: int) -> Any:
        """RAdam's factor at step t, ``None`` while the average is too short for it (Liu et al. 2020, eq. 7-8)."""
        rho_inf = 2 / (1 - beta) - 1
        rho = rho_inf - 2 * t * beta**t / (1 - beta**t)
        if rho <= threshold:
            return None
        return self.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))

    #: Square root, entry by entry; nan below 0.
    sqrt: Any = staticmethod(np.frompyfunc(lambda x: x.sqrt(), 1, 1))

    def power(self, x: Any, y: Any) -> Any:
        """``x**y`` of two numbers."""
        return x**y

    #: Entry by entry, as numpy has them.
    maximum: Any = staticmethod(np.maximum)
    minimum: Any = staticmethod(np.minimum)
    where: Any = staticmethod(np.where)
    size: Any = staticmethod(abs)

    def sign(self, x: Any) -> Any:
        """−1, 0 or 1, entry by entry."""
        return np.where(x > 0, 1, np.where(x < 0, -1, 0)) * self.number(1.0)

    def sum(self, x: Any, axis: int | None = None) -> Any:
        """Sum over all entries, or over one axis that is kept."""
        return np.sum(x) if axis is None else np.sum(x, axis=axis, keepdims=True)

    matmul: Any = staticmethod(np.matmul)
    transpose: Any = staticmethod(np.transpose)
