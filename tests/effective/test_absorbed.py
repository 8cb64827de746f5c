"""Steps that the parameter's own dtype rounds away are counted, exactly (R10)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from lrtheory import effective, rules, wrappers


def absorbed(rule, hyper, params, grads, steps: int = 1) -> list[float]:  # type: ignore[no-untyped-def]
    state, found = rule.init(params), []
    for _ in range(steps):
        after, state = rule.step(hyper, params, state, grads)
        found.append(float(effective.measure(rule, hyper, state, grads, params, after)["w"].absorbed))
        params = after
    return found


def one(value: float, dtype: str = "bfloat16") -> dict:
    return {"w": jnp.full(4, value, dtype)}


def test_adam_in_bfloat16_loses_every_step() -> None:
    """Lr 6e-4 at a parameter of 1, whose neighbours below are 2⁻⁹ away: half of that is more than the step."""
    rule = rules.adam()
    assert absorbed(rule, rule.hyper(lr=6e-4), one(1.0), one(1.0), steps=20) == [1.0] * 20
    assert absorbed(rule, rule.hyper(lr=6e-4), one(1.0, "float32"), one(1.0, "float32"), steps=3) == [0.0] * 3


def test_decay_that_is_lost_counts() -> None:
    rule = rules.adamw()
    assert absorbed(rule, rule.hyper(lr=6e-4, weight_decay=1.0), one(1.0), one(0.0)) == [1.0]
    assert absorbed(rule, rule.hyper(lr=6e-4, weight_decay=0.0), one(1.0), one(0.0)) == [0.0], "no step was meant"


def test_share_is_that_of_the_coordinates() -> None:
    """Entries of 1, 1/4 and 2⁻¹² with a step of 2⁻⁹·0.6: of the first alone it is less than half the spacing below."""
    rule = rules.sgd()
    params = {"w": jnp.asarray([1.0, -1.0, 0.25, 2.0**-12], jnp.bfloat16)}
    grads = {"w": jnp.asarray([1.0, -1.0, 1.0, 1.0], jnp.bfloat16)}
    assert absorbed(rule, rule.hyper(lr=2.0**-10), params, grads) == [0.25 * 2]
    clipped = wrappers.clip_by_value(rule)
    assert absorbed(clipped, clipped.hyper(lr=2.0**-10, clip_value=10.0), params, grads) == [0.5]


def test_float32_loses_steps_too() -> None:
    rule = rules.sgd()
    params = {"w": jnp.asarray([1.0, 1e-3], jnp.float32)}
    assert absorbed(rule, rule.hyper(lr=1e-9), params, {"w": jnp.ones(2)}) == [0.5]


def test_parameter_without_gradient_meant_no_step() -> None:
    rule = rules.adamw()
    hyper, params, grads = (
        rule.hyper(weight_decay=1.0),
        {"w": jnp.ones(2), "b": jnp.ones(2)},
        {"w": jnp.ones(2), "b": None},
    )
    after, state = rule.step(hyper, params, rule.init(params), grads)
    summary = effective.measure(rule, hyper, state, grads, params, after)
    np.testing.assert_array_equal([summary["w"].absorbed, summary["b"].absorbed], [0.0, 0.0])
