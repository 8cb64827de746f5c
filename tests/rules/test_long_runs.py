"""Runs as long as a step count: counts stay at their last value, and steps are those of a long run (truth 12)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import as_gradients, every_rule, numbers_for, params_for

from lrtheory import rules, wrappers
from lrtheory.compiling import quickly_compiled

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
