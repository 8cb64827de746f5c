r"""The general bound: a weighted sum over a weighted root mean square."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def weighted_sum_bound(c: npt.ArrayLike, w: npt.ArrayLike) -> float:
    r"""Largest :math:`|\sum_s c_s g_s| / \sqrt{\sum_s w_s g_s^2}` over all g: :math:`\sqrt{\sum_s c_s^2/w_s}`.

    Cauchy and Schwarz on :math:`c_s/\sqrt{w_s}` and :math:`\sqrt{w_s} g_s`; attained by :func:`extremal_gradients`.

    Parameters
    ----------
    c : array of shape (t,)
    w : array of shape (t,), above 0
    """
    c, w = np.asarray(c, float), np.asarray(w, float)
    if not np.all(w > 0):
        raise ValueError("every weight of a square must be above 0: a gradient that none of them sees is unbounded")
    return math.sqrt(math.fsum(c * c / w))


def extremal_gradients(c: npt.ArrayLike, w: npt.ArrayLike) -> np.ndarray:
    """The gradients that attain the bound, up to a factor: c_s/w_s."""
    return np.asarray(c, float) / np.asarray(w, float)


def geometric(ratio: float, steps: int) -> float:
    """1 + ratio + … + ratio^(steps−1), also at ratio 1 and near it."""
    if ratio == 1:
        return float(steps)
    if ratio == 0:
        return 1.0 if steps > 0 else 0.0
    try:
        return math.expm1(steps * math.log(ratio)) / (ratio - 1)
    except OverflowError:
        return math.inf


def one_minus_power(beta: float, t: float) -> float:
    """1 − βᵗ for 0 ≤ β < 1, formed so that nothing cancels."""
    return 1.0 if beta == 0 else -math.expm1(t * math.log(beta))


def powers(beta: float, steps: int) -> np.ndarray:
    """Weights β^(t−s) of gradients s = 1 … t, the latest last."""
    return float(beta) ** np.arange(steps - 1, -1, -1, dtype=float)
