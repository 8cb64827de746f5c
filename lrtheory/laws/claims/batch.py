"""Claims about the size of a batch and how gradients are gathered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...effective import per_example
from ...rules import Rule
from ..law import Evidence, claim
from ..trajectory import replay


def _squares(w: Any, x: Any, y: Any) -> Any:
    return (x @ w - y) ** 2


_slopes = {
    "mean": jax.jit(jax.grad(lambda w, x, y: jnp.mean(_squares(w, x, y)))),
    "sum": jax.jit(jax.grad(lambda w, x, y: jnp.sum(_squares(w, x, y)))),
}


def per_example_factor(rule: Rule, reduction: str, batch: int) -> float:
    """Effective lr per example for a batch of equal examples, over that for a batch of one, eps 0.

    1/batch for the mean; for the sum 1 if the rule's lr is in 1/[loss] (sgd), and 1/batch again if it is not (adam),
    whose effective lr falls as the gradient grows.
    """
    if reduction == "mean":
        return 1 / batch
    return float(batch) ** (-1 - float(rule.units["lr"].loss))


def _check_per_example(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 78])
    x, y, w = rng.standard_normal((1, 2)), rng.standard_normal(1), rng.standard_normal(2)
    worst, figures = 0.0, {}
    for rule in (rules.sgd(), rules.adam()):
        hyper = rule.hyper(lr=0.01, **({"eps": 0.0} if "eps" in rule.Hyper._fields else {}))
        for reduction, slope in _slopes.items():
            found = {}
            for batch in (1, 4, 32):
                with jax.enable_x64(True):
                    g = np.asarray(slope(w, np.tile(x, (batch, 1)), np.tile(y, batch)))
                found[batch] = np.asarray(per_example(replay(rule, hyper, g[None]).effective_lr[0], batch, reduction))
            for batch in (4, 32):
                measured = found[batch] / found[1]
                worst = max(worst, float(np.abs(measured / formula(rule, reduction, batch) - 1).max()))
                figures[f"per-example E, {rule!r} on a {reduction} of {batch}"] = float(measured[0])
    return Evidence(
        ran="sgd and adam at eps 0 on automatic gradients of the mean and of the sum over 1, 4 and 32 copies of one example",
        residual=worst,
        bound=1e-13,
        derivation="relative: sums of 32 equal terms and a root, some hundred roundings of 2^-53",
        figures=figures,
    )


def accumulated(gradients: Sequence[np.ndarray]) -> np.ndarray:
    """What .grad holds after one backward() each: their sum."""
    return np.sum(gradients, axis=0)


def _check_accumulated(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 79])
    sgd, g, calls = rules.sgd(), rng.standard_normal(2), int(rng.integers(2, 9))
    hyper = sgd.hyper(lr=0.1)
    changes = [np.linalg.norm(replay(sgd, hyper, formula([g] * count)[None]).steps[0]) for count in (calls, 2 * calls)]
    return Evidence(
        ran=f"one step of sgd after {calls} and after {2 * calls} backward calls on the same loss",
        residual=float(changes[1] / changes[0]),
        bound=1 + 1e-9,
        derivation="1, and room for rounding: the claim is that the change shrinks as calls are added; a sum doubles it",
        is_counterexample=True,
    )


PER_EXAMPLE = claim(
    "batch-per-example",
    "Effective lr per example",
    "A larger batch gives a smaller effective lr per example.",
    "depends",
    "exact",
    r"\frac{E_B}{E_1} = \frac{1}{B} \quad (\text{mean}), \quad 1 \; (\text{sum, sgd}), \quad \frac{1}{B} \; (\text{sum, adam})",
    scope="batches of equal examples, eps 0. True under the mean; under the sum false of sgd, whose step adds examples up, and true of adam, "
    "which undoes the reduction. Where noise dominates adam's v̂ the factor is nearer 1/√B",
    source="linearity of the gradient and the rules' effective lr; derived here",
    formula=per_example_factor,
    check=_check_per_example,
    mutants={
        "1/B always": lambda rule, reduction, batch: 1 / batch,
        "a sum leaves it alone for every rule": lambda rule, reduction, batch: (
            1 / batch if reduction == "mean" else 1.0
        ),
    },
)
BACKWARD_CALLS = claim(
    "backward-calls",
    "What calls of backward() add up to",
    "With B calls of backward() before a step, a larger B gives a smaller parameter change.",
    "false",
    "false",
    r"g = \sum_{i=1}^{B} \nabla L_i \quad \Rightarrow \quad \|\Delta\theta\| \propto B \; (\text{sgd}), \; \text{unchanged} \; (\text{adam})",
    scope="torch's .grad accumulates the sum, so that equal losses make sgd's change grow as B and leave adam's as it is (eps 0). It "
    "shrinks for none; dividing each loss by B makes it stay",
    source="torch.autograd accumulates into .grad (2.13), in torch itself by test; counterexample here",
    formula=accumulated,
    check=_check_accumulated,
    mutants={
        "a mean is taken": lambda gradients: np.mean(gradients, axis=0),
        "each loss is divided by B twice": lambda gradients: np.mean(gradients, axis=0) / len(gradients),
    },
)
