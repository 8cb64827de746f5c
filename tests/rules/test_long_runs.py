"""Runs as long as a step count: counts stay at their last value, and steps are those of a long run (truth 12)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import as_gradients, every_rule, numbers_for, params_for

from lrtheory import rules, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.rules._terms import root_of_average

LAST = 2**31 - 1
#: Their numbers fall with the step count itself, so that a step near the last count is all but none.
FALLING = {"adagrad", "adafactor"}


@pytest.mark.parametrize("rule", every_rule(), ids=repr)
def test_count_stays_at_the_last_and_steps_go_on(rule) -> None:  # type: ignore[no-untyped-def]
    """Four steps from two before the last count, against the same from 2²⁰: the long run has forgotten how long it was."""
    hyper = rule.hyper(**numbers_for(rule)[-1])
    params = params_for(rule, np.random.default_rng(0))
    grads = as_gradients(rule, params_for(rule, np.random.default_rng(1)))
    state = rule.init(params)
    for _ in range(3):
        params, state = rule.step(hyper, params, state, grads)

    def run(t):  # type: ignore[no-untyped-def]
        p, s, before = params, state._replace(t={name: jnp.int32(t) for name in params}), params
        for _ in range(4):
            before = p
            p, s = rule.step(hyper, p, s, grads)
        return p, s, rule.effective_lr(hyper, s), rule.direction(hyper, before, s, grads)

    late, state_late, effective, direction = quickly_compiled()(run)(LAST - 2)
    early, *_ = quickly_compiled()(run)(2**20)
    for name in params:
        still = rule.name == "sgd" and not numbers_for(rule)[-1].get("momentum")
        assert int(state_late.t[name]) in ((LAST - 2, LAST - 1) if still else (LAST,))
        assert np.isfinite(late[name]).all()
        assert np.isfinite(direction[name]).all()
        assert (effective[name] >= 0).all()
        if rule.name not in FALLING:
            np.testing.assert_allclose(late[name], early[name], rtol=2e-3, atol=1e-4)


def test_average_of_weights_counts_to_the_last() -> None:
    rule = wrappers.average_weights(rules.sgd())
    params = {"w": jnp.ones(1)}
    state = rule.init(params)._replace(count=jnp.int32(LAST))
    _, state = rule.step(rule.hyper(), params, state, params)
    assert int(state.count) == LAST


@pytest.mark.parametrize(
    "make", [rules.adam, rules.adamw, rules.nadam, rules.adabelief], ids=lambda make: make.__name__
)
def test_gradient_whose_square_float32_holds_is_stepped_by(make) -> None:  # type: ignore[no-untyped-def]
    """v/(1 − β₂ᵗ) overflows at the first steps where v does not: torch's Adam divides roots, and goes on."""
    rule = make()
    hyper, params = rule.hyper(lr=0.1), {"w": jnp.ones(2)}

    def moved(grads):  # type: ignore[no-untyped-def]
        p, state = params, rule.init(params)
        for g in grads:
            p, state = rule.step(hyper, p, state, {"w": g})
        return 1 - p["w"][0], rule.effective_lr(hyper, state)["w"][0]

    # As arguments: XLA would square what it knows to be size·constant.
    grads = jnp.outer((-0.5) ** jnp.arange(3), jnp.ones(2))
    (ordinary, lr), *large = (quickly_compiled()(moved)(size * grads) for size in (1.0, 3e19, 5e20))
    assert ordinary > 0.05
    for (step, effective), size in zip(large, (3e19, 5e20), strict=True):
        np.testing.assert_allclose(step, ordinary, rtol=1e-6)  # the step does not know the size of the gradient
        np.testing.assert_allclose(effective * np.float32(size), lr, rtol=1e-6)


@pytest.mark.parametrize("beta2", [0.999, 0.9, 0.5, 1 - 2.0**-24])
def test_root_of_an_average_is_the_root_of_the_quotient(beta2) -> None:  # type: ignore[no-untyped-def]
    """Bit for bit where the quotient is finite, and within half an ulp of the root in float64 elsewhere."""
    rng = np.random.default_rng(0)
    v = np.concatenate([10 ** rng.uniform(-37, 38.5, 50_000), [0.0, np.inf, np.nan, 2.0**68, 2.0**127]]).astype(
        np.float32
    )
    weights = np.float32(1 - np.float32(beta2))
    quotient = jnp.asarray(v) / weights
    found = np.asarray(root_of_average(jnp.asarray(v), jnp.asarray(weights)))
    kept = ~np.isinf(np.asarray(quotient))
    np.testing.assert_array_equal(found[kept], np.asarray(jnp.sqrt(quotient))[kept])
    exact = np.sqrt(v.astype(np.float64) / np.float64(weights)).astype(np.float32)
    np.testing.assert_allclose(found[~kept], exact[~kept], rtol=2.0**-23)
    assert (~kept).sum() > (100 if beta2 > 0.99 else 10)
