"""What a batch does to the gradient: sums, means, micro-batches, sampling without replacement."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..law import Evidence, Law

WIDTH, FEATURES = 4, 3


def sum_over_mean(batch: int) -> float:
    """∇(summed loss) over ∇(mean loss): B."""
    return float(batch)


def micro_batch_weights(sizes: Sequence[int]) -> np.ndarray:
    """What the mean gradient of each micro-batch counts for in that of the whole: n_i/N."""
    return np.asarray(sizes) / np.sum(sizes)


def without_replacement(examples: int, batch: int) -> float:
    """Covariance of the mean of B of N examples over that of one (with divisor N): (N−B)/(B(N−1)).

    Over the covariance with divisor N−1 it is (N−B)/(BN) = 1/B − 1/N.
    """
    return (examples - batch) / (batch * (examples - 1))


@jax.jit
def _gradients(weights: tuple[Array, Array], x: Array, y: Array) -> Any:
    """Gradient of each example's loss on a network with one hidden layer."""

    def loss(weights: tuple[Array, Array], x: Array, y: Array) -> Array:
        return (weights[1] @ jnp.tanh(weights[0] @ x) - y) ** 2

    return jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(weights, x, y)


@functools.partial(jax.jit, static_argnames="reduction")
def _gradient(weights: tuple[Array, Array], x: Array, y: Array, share: Array, reduction: str) -> Array:
    """Gradient of the sum or the mean over the examples that ``share`` picks (0 or 1), in one pass."""

    def loss(weights: tuple[Array, Array]) -> Array:
        total = jnp.sum(share * (jnp.tanh(x @ weights[0].T) @ weights[1] - y) ** 2)
        return total if reduction == "sum" else total / share.sum()

    return jnp.concatenate([g.ravel() for g in jax.grad(loss)(weights)])


def _problem(rng: np.random.Generator, examples: int) -> tuple[Any, Array, Array]:
    weights = jnp.asarray(rng.standard_normal((WIDTH, FEATURES))), jnp.asarray(rng.standard_normal(WIDTH))
    return weights, jnp.asarray(rng.standard_normal((examples, FEATURES))), jnp.asarray(rng.standard_normal(examples))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


_ROUNDING = (
    "largest difference over the largest coordinate; sums of at most 24 gradients of some 20 roundings of 1.1e-16, "
    "with terms that cancel to a tenth at most"
)


def _check_reduction(formula: Callable[[int], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    errors = []
    with jax.enable_x64(True):
        weights, x, y = _problem(rng, 24)
        for batch in (2, int(rng.integers(3, 24)), 24):
            share = jnp.asarray(np.arange(24) < batch, float)
            mean, total = (np.asarray(_gradient(weights, x, y, share, r)) for r in ("mean", "sum"))
            single = _gradients(weights, x, y)
            calls = np.concatenate([np.asarray(g[:batch].sum(axis=0)).ravel() for g in single])
            errors += [_distance(formula(batch) * mean, total), _distance(formula(batch) * mean, calls)]
    return Evidence(
        ran="gradients of a network with one hidden layer on batches of 2 to 24 examples: of the summed loss, and summed "
        "over one call per example, against B times that of the mean loss",
        residual=float(np.max(errors)),
        bound=1e-13,
        derivation=_ROUNDING,
    )


def _check_accumulation(formula: Callable[[Sequence[int]], np.ndarray], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    errors = []
    with jax.enable_x64(True):
        weights, x, y = _problem(rng, 24)
        for sizes in ((8, 8, 8), (1, 23), (int(rng.integers(2, 6)), 7)):
            ends = np.cumsum(sizes)
            shares = [(np.arange(24) < end) & (np.arange(24) >= end - n) for n, end in zip(sizes, ends, strict=True)]
            parts = [np.asarray(_gradient(weights, x, y, jnp.asarray(s, float), "mean")) for s in shares]
            whole = np.asarray(_gradient(weights, x, y, jnp.asarray(np.arange(24) < ends[-1], float), "mean"))
            errors.append(_distance(formula(sizes) @ np.stack(parts), whole))
    return Evidence(
        ran="mean gradients of micro-batches of 8+8+8, 1+23 and unequal random sizes, weighted and added up, against the "
        "mean gradient of the whole batch",
        residual=float(np.max(errors)),
        bound=1e-13,
        derivation=_ROUNDING,
    )


def _check_without_replacement(formula: Callable[[int, int], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    errors = []
    for examples, batch in ((7, 1), (7, 3), (8, 5), (6, 6)):
        gradients = rng.standard_normal((examples, 2)) ** 3  # far from Gaussian: only two moments matter
        one = np.cov(gradients.T, ddof=0)
        means = np.array([gradients[list(c)].mean(axis=0) for c in itertools.combinations(range(examples), batch)])
        spread = np.cov(means.T, ddof=0)
        errors.append(float(np.max(np.abs(spread - formula(examples, batch) * one)) / np.max(np.abs(one))))
    return Evidence(
        ran="covariance of the batch mean over every batch without replacement: 1 and 3 of 7, 5 of 8, 6 of 6 examples",
        residual=float(np.max(errors)),
        bound=1e-13,
        derivation="largest entry of the difference over that of one example's covariance; sums of at most 56 squares",
    )


LAWS = (
    Law(
        id="batch.reduction",
        title="sum against mean",
        statement=r"\nabla \textstyle\sum_i L_i = B\,\nabla \tfrac1B \sum_i L_i",
        kind="exact",
        scope="every model and loss; B calls of backward() without zero_grad() in between accumulate the sum",
        source="linearity of the gradient; checked on a network",
        formula=sum_over_mean,
        check=_check_reduction,
        mutants={"no factor": lambda batch: 1.0, "√B": lambda batch: batch**0.5},
    ),
    Law(
        id="batch.accumulation",
        title="gradient accumulation",
        statement=r"\nabla \bar L = \sum_i \tfrac{n_i}{N} \nabla \bar L_i",
        kind="exact",
        scope="micro-batches of n_i examples, N together; division by their count is right for equal sizes only",
        source="linearity of the gradient; checked on a network",
        formula=micro_batch_weights,
        check=_check_accumulation,
        mutants={
            "divided by the count": lambda sizes: np.full(len(sizes), 1 / len(sizes)),
            "added up": lambda sizes: np.ones(len(sizes)),
        },
    ),
    Law(
        id="batch.without-replacement",
        title="sampling without replacement",
        statement=r"\mathrm{Cov}\,\bar g_B = \frac{N-B}{B(N-1)}\,\mathrm{Cov}\,g",
        kind="exact",
        scope="a batch of B of N examples, each set as likely; Cov g over all N with divisor N. 1/B with replacement",
        source="Smith & Le 2017, 1710.06451, with divisor N; checked by enumeration",
        formula=without_replacement,
        check=_check_without_replacement,
        mutants={
            "1/B, as with replacement": lambda examples, batch: 1 / batch,
            "1/B − 1/N, of divisor N−1": lambda examples, batch: 1 / batch - 1 / examples,
        },
    ),
)
