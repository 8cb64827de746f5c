"""A threshold held to two things that know nothing of it: eigenvalues of the rule's own step, and runs of the rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ...quadratic.linear_step import SIZES, LinearStep, critical_curvature, delayed, linear_step
from ...rules import Rule
from ..law import Evidence

DRAWS = 6
STEPS = 600
MARGIN = 0.01
START = 1e-120  # squares of gradients stay far below eps², so that eps is the preconditioner
EPS = 0.25

Numbers = Mapping[str, np.ndarray]


def check(
    rules: tuple[Rule, ...],
    draw: Callable[[np.random.Generator, int], Numbers],
    formula: Callable[..., Any],
    seed: int,
    delay: int = 0,
) -> Evidence:
    """Hold a formula of the drawn numbers to the spectral radius and to runs 1 % under and over it.

    A run is misjudged if it does not shrink below or does not grow above; each counts 1 in the residual.
    """
    rng = np.random.default_rng(seed)
    errors, misjudged = [], 0
    with jax.enable_x64(True):
        for rule in rules:
            numbers = draw(rng, DRAWS)
            predicted = np.broadcast_to(np.asarray(formula(**numbers), float), (DRAWS,))
            hypers = [rule.hyper(**{k: v[i] for k, v in numbers.items() if k != "delay"}) for i in range(DRAWS)]
            hyper = jax.tree.map(lambda *x: jnp.array(x), *hypers)
            measured = np.asarray(_first_crossing(_maps(rule, delay, hyper), 1 / hyper.lr))
            errors.append(float(np.max(np.abs(predicted / measured - 1))))
            shrinks, grows = (np.asarray(_growth(rule, delay, hyper, predicted * (1 + m))) for m in (-MARGIN, MARGIN))
            misjudged += int(np.sum(~(shrinks < 0)) + np.sum(~(grows > 0)))
    error = float(np.max(errors))
    return Evidence(
        ran=f"{DRAWS} draws of the numbers for {', '.join(map(repr, rules))}: spectral radius of the Jacobian of the step, "
        f"and runs of {STEPS} steps from {START:g} with curvature {MARGIN:.0%} under and over",
        residual=error + misjudged,
        bound=1e-9,
        derivation="largest relative difference from the curvature where the radius passes 1, plus 1 for each run that "
        "grows under or shrinks over the threshold; the eigenvalue there is simple, bisected to 2e-16 and found to some "
        "1e-14, times a condition below 1e4",
        figures={"relative error": error, "runs misjudged": misjudged, "runs": 2 * DRAWS * len(rules)},
    )


_first_crossing = jax.jit(jax.vmap(critical_curvature))


@functools.partial(jax.jit, static_argnames=("rule", "delay"))
def _maps(rule: Rule, delay: int, hyper: Any) -> LinearStep:
    return jax.vmap(lambda h: delayed(linear_step(rule, h), delay))(hyper)


@functools.partial(jax.jit, static_argnames=("rule", "delay"))
def _growth(rule: Rule, delay: int, hyper: Any, curvature: Array) -> Array:
    """Log growth of the largest |p| between the third and the last sixth of each run."""
    preconditioned = rule.name in SIZES
    if preconditioned:
        hyper = hyper._replace(eps=jnp.full(curvature.shape, EPS))

    def run(hyper: Any, h: Array) -> Array:
        def one(carry: Any, _: None) -> tuple[Any, Array]:
            past, state = carry  # parameters, newest first
            gradient = h * (EPS if preconditioned else 1) * past[delay]
            p, state = rule.step(hyper, past[0], state, gradient)
            return (jnp.roll(past, 1).at[0].set(p), state), jnp.abs(p)

        past = jnp.full(delay + 1, START)
        sizes = lax.scan(one, (past, rule.init(past[0])), length=STEPS)[1].reshape(6, -1).max(axis=1)
        return jnp.log(sizes[-1]) - jnp.log(sizes[2])

    return jax.vmap(run)(hyper, curvature)
