"""What a batch does to the gradient: sums, means, micro-batches, sampling without replacement."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...compiling import quickly_compiled
from ..law import Rng, Shown, distance, law

WIDTH, FEATURES = 4, 3


@quickly_compiled()
def _gradients(weights: tuple[Array, Array], x: Array, y: Array) -> Any:
    """Gradient of each example's loss on a network with one hidden layer."""

    def loss(weights: tuple[Array, Array], x: Array, y: Array) -> Array:
        return (weights[1] @ jnp.tanh(weights[0] @ x) - y) ** 2

    return jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(weights, x, y)


@quickly_compiled(static_argnames="reduction")
def _gradient(weights: tuple[Array, Array], x: Array, y: Array, share: Array, reduction: str) -> Array:
    """Gradient of the sum or the mean over the examples that ``share`` picks (0 or 1), in one pass."""

    def loss(weights: tuple[Array, Array]) -> Array:
        total = jnp.sum(share * (jnp.tanh(x @ weights[0].T) @ weights[1] - y) ** 2)
        return total if reduction == "sum" else total / share.sum()

    return jnp.concatenate([g.ravel() for g in jax.grad(loss)(weights)])


def _problem(rng: np.random.Generator, examples: int) -> tuple[Any, Array, Array]:
    weights = jnp.asarray(rng.standard_normal((WIDTH, FEATURES))), jnp.asarray(rng.standard_normal(WIDTH))
    return weights, jnp.asarray(rng.standard_normal((examples, FEATURES))), jnp.asarray(rng.standard_normal(examples))


_ROUNDING = (
    "largest difference over the largest coordinate; sums of at most 24 gradients of some 20 roundings of 1.1e-16, "
    "with terms that cancel to a tenth at most"
)


@law(
    r"""exact batch.reduction: sum against mean
    \nabla \textstyle\sum_i L_i = B\,\nabla \tfrac1B \sum_i L_i
    scope: every model and loss; B calls of backward() without zero_grad() in between accumulate the sum
    source: linearity of the gradient; checked on a network
    ran: gradients of a network with one hidden layer on batches of 2 to 24 examples: of the summed loss, and summed
    over one call per example, against B times that of the mean loss
    """,
    lambda batch: float(batch),
    {"no factor": lambda batch: 1.0, "√B": lambda batch: batch**0.5},
    bound=1e-13,
    why=_ROUNDING,
)
def reduction(formula: Any, rng: Rng) -> Shown:
    weights, x, y = _problem(rng, 24)
    for batch in (2, int(rng.integers(3, 24)), 24):
        share = jnp.asarray(np.arange(24) < batch, float)
        mean, total = (np.asarray(_gradient(weights, x, y, share, r)) for r in ("mean", "sum"))
        single = _gradients(weights, x, y)
        calls = np.concatenate([np.asarray(g[:batch].sum(axis=0)).ravel() for g in single])
        yield distance(formula(batch) * mean, total)
        yield distance(formula(batch) * mean, calls)


@law(
    r"""exact batch.accumulation: gradient accumulation
    \nabla \bar L = \sum_i \tfrac{n_i}{N} \nabla \bar L_i
    scope: micro-batches of n_i examples, N together; division by their count is right for equal sizes only
    source: linearity of the gradient; checked on a network
    ran: mean gradients of micro-batches of 8+8+8, 1+23 and unequal random sizes, weighted and added up, against the
    mean gradient of the whole batch
    """,
    lambda sizes: np.asarray(sizes) / np.sum(sizes),
    {
        "divided by the count": lambda sizes: np.full(len(sizes), 1 / len(sizes)),
        "added up": lambda sizes: np.ones(len(sizes)),
    },
    bound=1e-13,
    why=_ROUNDING,
)
def accumulation(formula: Any, rng: Rng) -> Shown:
    weights, x, y = _problem(rng, 24)
    for sizes in ((8, 8, 8), (1, 23), (int(rng.integers(2, 6)), 7)):
        ends = np.cumsum(sizes)
        shares = [(np.arange(24) < end) & (np.arange(24) >= end - n) for n, end in zip(sizes, ends, strict=True)]
        parts = [np.asarray(_gradient(weights, x, y, jnp.asarray(s, float), "mean")) for s in shares]
        whole = np.asarray(_gradient(weights, x, y, jnp.asarray(np.arange(24) < ends[-1], float), "mean"))
        yield distance(formula(sizes) @ np.stack(parts), whole)


def variance_left(examples: int, batch: int) -> float:
    """Covariance of the mean of a batch without replacement over that of one example, with divisor N."""
    return (examples - batch) / (batch * (examples - 1))


@law(
    r"""exact batch.without-replacement: sampling without replacement
    \mathrm{Cov}\,\bar g_B = \frac{N-B}{B(N-1)}\,\mathrm{Cov}\,g
    scope: a batch of B of N examples, each set as likely; Cov g over all N with divisor N. 1/B with replacement
    source: Smith & Le 2017, 1710.06451, with divisor N; checked by enumeration
    ran: covariance of the batch mean over every batch without replacement: 1 and 3 of 7, 5 of 8, 6 of 6 examples
    why: largest entry of the difference over that of one example's covariance; sums of at most 56 squares
    """,
    variance_left,
    {
        "1/B, as with replacement": lambda examples, batch: 1 / batch,
        "1/B − 1/N, of divisor N−1": lambda examples, batch: 1 / batch - 1 / examples,
    },
    bound=1e-13,
)
def without_replacement(formula: Any, rng: Rng) -> Shown:
    for examples, batch in ((7, 1), (7, 3), (8, 5), (6, 6)):
        gradients = rng.standard_normal((examples, 2)) ** 3  # far from Gaussian: only two moments matter
        one = np.cov(gradients.T, ddof=0)
        means = np.array([gradients[list(c)].mean(axis=0) for c in itertools.combinations(range(examples), batch)])
        yield np.abs(np.cov(means.T, ddof=0) - formula(examples, batch) * one) / np.max(np.abs(one))
