"""How far torch's recursions may drift: running error bounds, one rounding unit ``U`` for each operation.

Each function returns an absolute bound for steps 0 … ``steps``. ``OURS`` covers the closed form: at most ten
operations after another, of which pow is good to 1 U, exp and sin to 2 U on every backend measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .stepping import U

Numbers = Mapping[str, Any]
Bound = Callable[[Numbers, np.ndarray], np.ndarray]
OURS = 16


def relative(torch_roundings: Callable[[Numbers, np.ndarray], Any]) -> Bound:
    """A chain of multiplications: every one adds a rounding."""

    def bound(numbers: Numbers, want: np.ndarray) -> np.ndarray:
        t = np.arange(want.size)
        return (OURS + torch_roundings(numbers, t)) * U * np.abs(want)

    return bound


def of_largest(torch_roundings: Callable[[Numbers, np.ndarray], Any]) -> Bound:
    """A formula with cancellation: roundings of its largest term."""

    def bound(numbers: Numbers, want: np.ndarray) -> np.ndarray:
        t = np.arange(want.size)
        return (OURS + torch_roundings(numbers, t)) * U * np.max(np.abs(want)) + 0 * want

    return bound


def linear(numbers: Numbers, want: np.ndarray) -> np.ndarray:
    """``x ← x·(1 + q)``, ``q = d/(T·s + (t − 1)·d)``: 5 roundings in q, 2 outside."""
    s, e, total = numbers["start_factor"], numbers["end_factor"], numbers["total_iters"]
    error = np.empty_like(want)
    error[0] = OURS * U * want[0]
    for t in range(1, want.size):
        if t > total:
            error[t] = error[t - 1]
            continue
        q = (e - s) / (total * s + (t - 1) * (e - s))
        # The sum in the denominator cancels when the factor falls: its error is that of its larger term.
        q_error = abs(q) * U * (3 + 2 * total * s / abs(total * s + (t - 1) * (e - s)))
        error[t] = abs(1 + q) * error[t - 1] + want[t - 1] * (q_error + U * abs(1 + q)) + U * want[t]
    return error + OURS * U * want


def polynomial(numbers: Numbers, want: np.ndarray) -> np.ndarray:
    """``x ← x·(a/b)^p``, ``a = 1 − t/T``: the subtraction is good to 2 U absolutely."""
    total, p = numbers["total_iters"], numbers["power"]
    error = np.empty_like(want)
    error[0] = OURS * U * want[0]
    for t in range(1, want.size):
        if t >= total:  # the last factor is exactly 0
            error[t] = 0
            continue
        a, b = 1 - t / total, 1 - (t - 1) / total
        factor_error = p * (2 * U / a + 2 * U / b + U) + U
        error[t] = (a / b) ** p * error[t - 1] + want[t] * (factor_error + U)
    return error + OURS * U * want


def cosine(numbers: Numbers, want: np.ndarray) -> np.ndarray:
    """``x ← (1 + cos a_t)/(1 + cos a_{t−1})·(x − η) + η``, and an addition after each trough."""
    lr, T, eta = numbers["lr"], numbers["T_max"], numbers["eta_min"]

    def one_plus_cos(t: int) -> tuple[float, float]:
        """Its value, and its error: a = πt/T takes 3 roundings, and cos and the sum one each."""
        a = np.pi * t / T
        value = 2 * np.sin(np.pi * abs(T - t % (2 * T)) / (2 * T)) ** 2
        return value, U * (3 * a * abs(np.sin(a)) + 9 * a * a * U + 1 + value)

    error = np.empty_like(want)
    error[0] = OURS * U * want[0]
    for t in range(1, want.size):
        if (t - 1 - T) % (2 * T) == 0:
            error[t] = error[t - 1] + abs(lr - eta) * 4 * U + 2 * U * abs(want[t])
            continue
        above, above_error = one_plus_cos(t)
        below, below_error = one_plus_cos(t - 1)
        ratio = above / below
        ratio_error = above_error / below + ratio * below_error / below + U * ratio
        height = abs(want[t - 1] - eta)
        error[t] = (ratio + ratio_error) * (error[t - 1] + U * abs(want[t - 1]))
        error[t] += height * ratio_error + 2 * U * (abs(want[t]) + abs(eta))
    return error + OURS * U * np.abs(want)


def swalr(numbers: Numbers, want: np.ndarray) -> np.ndarray:
    """The first lr is recovered by dividing by ``1 − α``, then blended anew: α itself is good to 6 U."""
    largest = max(numbers["lr"], numbers["swa_lr"])
    x = np.minimum(np.arange(want.size) / numbers["anneal_epochs"], 1)
    share = {"cos": (1 - np.cos(np.pi * x)) / 2, "linear": x}[numbers.get("anneal_strategy", "cos")]
    error = np.empty_like(want)
    error[0] = OURS * U * largest
    for t in range(1, want.size):
        if share[t - 1] == 1:
            error[t] = OURS * U * largest
            continue
        first = (error[t - 1] + 10 * U * largest) / (1 - share[t - 1])
        error[t] = (1 - share[t]) * first + 10 * U * largest
    return error + OURS * U * largest


def cyclic(numbers: Numbers, want: np.ndarray) -> np.ndarray:
    """``x = 1 + t/total − cycle`` is off by U for each cycle, and divided by the share of the rise or the fall."""
    up, down = numbers["step_size_up"], numbers["step_size_down"]
    t = np.arange(want.size)
    place = 2 * (2 + t / (up + down)) * (up + down) / min(up, down)
    return (OURS + place) * U * np.max(np.abs(want))


def one_after_the_other(pieces: list[tuple[Bound, Numbers]], milestones: list[int]) -> Bound:
    """Bounds of schedules that take over from each other: each starts anew."""

    def bound(numbers: Numbers, want: np.ndarray) -> np.ndarray:
        edges = [0, *milestones, want.size]
        parts = zip(pieces, edges[:-1], edges[1:], strict=True)
        return np.concatenate([piece(own, want[start:end]) for (piece, own), start, end in parts])

    return bound
