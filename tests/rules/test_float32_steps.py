"""In float32 every rule's step is the float64 step to a few ulp, at every step of a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import every_rule

from lrtheory import rules
from lrtheory.rules import Rule

EPS = float(np.finfo(np.float32).eps)
STEPS = 30

# A sign, and the rounding to bfloat16 inside Muon, can fall on the other side of an edge.
ON_AN_EDGE = ("muon", "signum", "lion", "rprop")
# Differences of numbers that can be near each other, in the rule's own definition: errors relative to their terms.
CANCELS = ("centered",)
RULES = [
    rule
    for rule in every_rule()
    if rule.name not in ON_AN_EDGE
    and not rule.options.get("maximize")
    and not any(rule.options.get(option) for option in CANCELS)
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_step_is_within_a_few_ulp(rule: Rule) -> None:
    """From the same state and from p = 0, so that p is the step.

    The bound of 6 ulp is empirical (the largest found is 3.4); a bias correction of the usual kind is off by 57 ulp at
    beta2 = 0.999, and RAdam's rectifier as printed by thousands.
    """
    rng = np.random.default_rng(0)
    shape = (6, 50)
    size = 10.0 ** rng.uniform(-4, 4, shape)
    base = rng.standard_normal(shape)
    numbers = {"lr": 0.1, **({"momentum": 0.9} if rule.options.get("nesterov") and rule.name == "sgd" else {})}
    worst = 0.0
    with jax.enable_x64(True):
        hyper = rule.hyper(**numbers)
        given = (lambda g: rules.SparseGradient.from_dense(g)) if rule.array_rule.sparse else (lambda g: g)
        step = jax.jit(lambda h, p, s, g: rule.step(h, p, s, given(g)))
        wide = lambda tree: jax.tree.map(  # noqa: E731
            lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
        )
        # The numbers as float32 holds them, so that only the arithmetic differs.
        stored = jax.tree.map(lambda x: float(np.float32(x)), hyper)
        zero = jnp.zeros(shape, jnp.float32)
        state = rule.init(zero)
        for _ in range(STEPS):
            # All of one sign and near each other: averages do not cancel, and an error of a weight shows.
            g = jnp.asarray((base + 0.1 * np.abs(base) * rng.standard_normal(shape)) * size, jnp.float32)
            exact = np.asarray(step(stored, wide(zero), wide(state), wide(g))[0])
            moved, state = step(stored, zero, state, g)
            error = np.abs(np.asarray(moved, np.float64) - exact) / np.where(exact == 0, 1, np.abs(exact))
            worst = max(worst, float(error.max()))
    assert worst <= 6 * EPS, f"{worst / EPS:.1f} ulp"
