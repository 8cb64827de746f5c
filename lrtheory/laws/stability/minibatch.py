"""Stability in mean square where every batch has a Hessian of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ..batch.reduction import variance_left
from ..law import Rng, Shown, distance, law

EXAMPLES = 6
BATCH = 2
STEPS = 200


def second_moment(lr: float, hessians: np.ndarray, batch: int, replacement: bool = False) -> np.ndarray:
    r"""What one SGD step does to E[θθ'], as a matrix on vectors of d² entries.

    .. math:: (I-\eta H)^{\otimes 2} + \eta^2 p\,(\overline{H_i^{\otimes 2}} - H^{\otimes 2})

    with p = (N−B)/(B(N−1)) without replacement and 1/B with it. Its spectral radius is the factor by which mean squares
    grow; for one parameter it is below 1 for lr < 2h/(h² + p·Var h_i).

    Parameters
    ----------
    hessians : (N, d, d)
        Of each example.
    """
    n, d = hessians.shape[:2]
    p = 1 / batch if replacement else variance_left(n, batch)
    mean = hessians.mean(axis=0)
    step = np.eye(d) - lr * mean
    spread = np.mean([np.kron(h, h) for h in hessians], axis=0) - np.kron(mean, mean)
    return np.kron(step, step) + lr**2 * p * spread


def scalar_threshold(curvature: float, variance: float, p: float) -> float:
    """2h/(h² + p·Var h_i): the lr at which the mean square of one parameter stops shrinking."""
    return 2 * curvature / (curvature**2 + p * variance)


def _batches(examples: np.ndarray, replacement: bool) -> np.ndarray:
    """The mean over each batch there is."""
    every = (
        itertools.product(range(EXAMPLES), repeat=BATCH)
        if replacement
        else itertools.combinations(range(EXAMPLES), BATCH)
    )
    return np.array([examples[list(chosen)].mean(axis=0) for chosen in every])


def _enumerated(rule: Rule, lr: float, hessians: np.ndarray, replacement: bool) -> np.ndarray:
    """The mean over every batch of step ⊗ step, each step made by the rule on unit vectors."""
    means = _batches(hessians, replacement)
    columns = np.eye(2) + 0 * means
    moved = np.asarray(rule.step(rule.hyper(lr=lr), columns, rule.init(jnp.asarray(columns)), jnp.asarray(means))[0])
    return np.mean([np.kron(m, m) for m in moved], axis=0)


def _radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def _critical_lr(radius: Callable[[float], float], low: float) -> float:
    low, high = 0.1 * low, low
    while radius(high) < 1:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    return high


@law(
    r"""exact stability.minibatch: batches with Hessians of their own
    \rho\left((I-lr\,H)^{\otimes 2} + lr^2\,p\,(\overline{H_i^{\otimes 2}} - H^{\otimes 2})\right) < 1
    scope: SGD without momentum on quadratics with a common minimum, in mean square; a batch of B of N examples, p =
    (N−B)/(B(N−1)) without replacement and 1/B with it
    source: derived here from E[(I − lr H_B)⊗(I − lr H_B)] and checked by enumeration of all batches
    why: largest entry of the difference over that of the matrix, a sum of at most 36 terms of ten roundings of 1.1e-16
    each; plus 1 for each mean square that grows under or shrinks over the threshold
    """,
    second_moment,
    {
        "no variance between batches": lambda lr, hessians, batch, replacement: second_moment(
            lr, np.broadcast_to(hessians.mean(axis=0), hessians.shape), batch, replacement
        ),
        "with replacement always": lambda lr, hessians, batch, replacement: second_moment(lr, hessians, batch, True),
    },
    bound=1e-12,
)
def minibatch(formula: Any, rng: Rng) -> Shown:
    roots = rng.standard_normal((EXAMPLES, 2, 2))
    hessians = roots @ roots.transpose(0, 2, 1)
    lr = 0.6 / np.linalg.eigvalsh(hessians.mean(axis=0)).max()
    rule = rules.sgd()
    errors, misjudged = [], 0
    for replacement in (False, True):
        exact = _enumerated(rule, lr, hessians, replacement)
        predicted = formula(lr, hessians, BATCH, replacement)
        errors.append(float(distance(predicted, exact)))
        # The lr where the formula says that mean squares stop shrinking, and exact averages 1 % to either side.
        critical = _critical_lr(lambda x, r=replacement: _radius(formula(x, hessians, BATCH, r)), lr)
        for factor, grows in ((0.99, False), (1.01, True)):
            exact = _enumerated(rule, factor * critical, hessians, replacement)
            growth = np.trace((np.linalg.matrix_power(exact, STEPS) @ np.eye(2).ravel()).reshape(2, 2)) / 2
            misjudged += int((growth > 1) != grows)
    error = float(np.max(errors))
    yield (
        f"SGD on {EXAMPLES} examples with 2×2 Hessians of their own, batches of {BATCH} with and without "
        f"replacement: the mean over all batches of what the rule's step does, and {STEPS} steps at 0.99 and 1.01 of "
        "the critical lr"
    )
    yield error + misjudged
    yield {"relative error": error, "runs misjudged": misjudged, "runs": 4}


@law(
    r"""exact stability.minibatch-scalar: batches, one parameter
    lr < \frac{2h}{h^2 + p\,\mathrm{Var}\,h_i}
    scope: SGD without momentum on one parameter with a common minimum, in mean square; p as for several parameters:
    Var/B is right with replacement only
    source: E(1 − lr h_B)² = 1, derived here; checked by enumeration of all batches
    why: the mean square must stay 1: a mean of 36 squares of a few roundings of 1.1e-16 and size below 10
    """,
    scalar_threshold,
    {
        "2/h": lambda curvature, variance, p: 2 / curvature,
        "variance not divided by the batch": lambda curvature, variance, p: scalar_threshold(curvature, variance, 1.0),
    },
    bound=1e-13,
)
def minibatch_scalar(formula: Any, rng: Rng) -> Shown:
    curvatures, rule, errors = rng.uniform(0.1, 5, EXAMPLES), rules.sgd(), {}
    for name, p in (("without", variance_left(EXAMPLES, BATCH)), ("with", 1 / BATCH)):
        means = jnp.asarray(_batches(curvatures, name == "with"))
        lr = formula(curvatures.mean(), curvatures.var(), p)
        one = jnp.ones_like(means)
        after = rule.step(rule.hyper(lr=lr), one, rule.init(one), means)[0]
        errors[f"{name} replacement"] = abs(float(jnp.mean(after**2)) - 1)
    yield f"one SGD step at the threshold from θ = 1, for every batch of {BATCH} of {EXAMPLES} curvatures"
    yield list(errors.values())
    yield errors
