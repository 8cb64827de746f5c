r"""The largest step that one coordinate can take, whatever the gradients were; and the band of Muon's singular values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..rules import Rule
from ..rules.closed_forms import adam_bound, adamax_bound, centered_rmsprop_bound, rmsprop_bound
from .asking import answered, numbers_of

__all__ = [
    "adam_bound", "adamax_bound", "box_contraction", "centered_rmsprop_bound", "extremal_gradients", "largest_step",
    "powers", "rmsprop_bound", "singular_value_band", "weighted_sum_bound",
]  # fmt: skip

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def largest_step(rule: Rule, hyper: Any, t: int | None = None) -> float:
    """Sharp bound on one coordinate's step t, decoupled decay left out.

    Sharp at eps = 0: some stream of gradients attains it, or comes as near as wanted (RMSprop with momentum). A larger
    eps only makes steps smaller. Coupled decay is part of the gradient and changes nothing.

    Parameters
    ----------
    rule, hyper : Rule and its hyperparameters
    t : step, from 1
        ``None`` for the bound on all steps; inf where they have none.

    Returns
    -------
    float
        In the units of lr.

    Raises
    ------
    NoLaw
        Where steps grow with the gradient, or depend on the rest of the tensor; the message says which.
    """
    h = numbers_of(rule, hyper)
    if t is not None and (isinstance(t, bool) or not isinstance(t, int) or t < 1):
        raise ValueError(f"t={t!r}: steps are counted 1, 2, …; None is for all of them")
    return answered(rule, rule.facts.largest, h, t)


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


def powers(beta: float, steps: int) -> np.ndarray:
    """Weights β^(t−s) of gradients s = 1 … t, the latest last."""
    return float(beta) ** np.arange(steps - 1, -1, -1, dtype=float)


def box_contraction(excess: npt.ArrayLike, lr: float, weight_decay: float) -> np.ndarray:
    r"""Largest :math:`|\theta_{t+1}| - U/weight\_decay` after :math:`excess = |\theta_t| - U/weight\_decay`.

    U bounds one update without lr: 1 for Lion and signum, :func:`adam_bound` for AdamW. While :math:`lr \cdot
    weight\_decay \le 1` the excess shrinks by :math:`1 - lr \cdot weight\_decay` a step at least, so that parameters end in
    the box :math:`|\theta| \le U/weight\_decay` and never leave it again.
    """
    return (1 - lr * weight_decay) * np.asarray(excess, float)


def singular_value_band(
    smallest: float, steps: int = 5, coefficients: tuple[float, float, float] = NEWTON_SCHULZ, largest: float = 1.0
) -> tuple[float, float]:
    r"""Where singular values from ``smallest`` to ``largest`` end after some steps of :math:`p(x) = ax + bx^3 + cx^5`.

    Exact: the image of an interval under a polynomial is the interval between its extremes, at the ends and where
    :math:`p' = 0`; so it is taken step by step.

    Parameters
    ----------
    smallest, largest : singular values over the Frobenius norm of the matrix, 0 < smallest ≤ largest ≤ 1
    steps : ``ns_steps``
    coefficients : ``(ns_a, ns_b, ns_c)``

    Returns
    -------
    (low, high) : attained by some singular value between the two
    """
    if not 0 < smallest <= largest <= 1:
        raise ValueError(
            f"smallest={smallest}, largest={largest}: singular values over the norm lie in (0, 1], in order"
        )
    a, b, c = coefficients
    roots = np.roots([5 * c, 0, 3 * b, 0, a])
    turns = roots[np.abs(roots.imag) < 1e-12].real
    low, high = smallest, largest
    for _ in range(steps):
        x = np.array([low, high, *turns[(turns > low) & (turns < high)]])
        y = a * x + b * x**3 + c * x**5
        low, high = float(y.min()), float(y.max())
    return low, high
