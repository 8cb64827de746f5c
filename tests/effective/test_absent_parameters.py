"""None in place of a parameter, as filters of model trees leave it: every function takes it, and leaves it (R6, B4)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from drawn import as_gradients, each_rule, numbers_for, params_for
from jax.sharding import PartitionSpec

from lrtheory import effective, in_place, rules, sharding, wrappers
from lrtheory.compiling import quickly_compiled

WRAPPED = {
    "accumulate": (lambda rule: wrappers.accumulate(rule, every=1), {}),
    "average_weights": (wrappers.average_weights, {}),
    "clip_by_global_norm": (wrappers.clip_by_global_norm, {"max_norm": 0.5}),
    "clip_by_value": (wrappers.clip_by_value, {"clip_value": 0.5}),
}


def figures(rule, hyper, params, grads):  # type: ignore[no-untyped-def]
    """Everything that is made of a step."""
    state = rule.init(params)
    after, state = rule.step(hyper, params, state, grads)
    given = (hyper, state, grads, params, after)
    return {
        "after": after,
        "E": rule.effective_lr(hyper, state),
        "d": rule.direction(hyper, params, state, grads),
        "decay": rule.decay(hyper, params, state, grads),
        "penalty": rule.penalty(hyper, params, state),
        "summary": effective.measure(rule, *given),
        "sampled": effective.measure(rule, *given, exact=False),
        "seldom": effective.measure_every(1, rule, *given, interval=2),
    }


def assert_left_alone(rule, hyper, params, grads) -> None:  # type: ignore[no-untyped-def]
    run = quickly_compiled(static_argnums=0)(figures)
    plain = run(rule, hyper, params, grads)
    absent = run(rule, hyper, {**params, "act": None}, {**grads, "act": None})
    for name, figure in absent.items():
        assert figure.pop("act") is None, name
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b, equal_nan=True)), plain, absent))


@pytest.mark.parametrize("rule", [r for r in each_rule() if not r.array_rule.sparse], ids=repr)
def test_rule_and_measure_leave_an_absent_parameter(rule) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

    params = params_for(rule, np.random.default_rng(0))
    grads = as_gradients(rule, params_for(rule, np.random.default_rng(1)))
    assert_left_alone(rule, rule.hyper(**numbers_for(rule)[-1]), params, grads)


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_rule_leaves_an_absent_parameter(name: str) -> None:
    wrap, numbers = WRAPPED[name]
    rule = wrap(rules.adam())
    assert_left_alone(rule, rule.hyper(**numbers), {"w": jnp.ones(3)}, {"w": jnp.ones(3)})


def test_steps_in_place_and_layouts_leave_an_absent_parameter() -> None:
    rule, params = rules.adam(), {"w": jnp.ones(3), "act": None}
    specs = sharding.state_specs(rule, params, {"w": PartitionSpec("x"), "act": None})
    assert specs.m == {"w": PartitionSpec("x"), "act": None}
    grads = {"w": jnp.ones(3), "act": None}
    after, _ = in_place.step(rule)(rule.hyper(), params, in_place.init(rule, params), grads)
    assert after["act"] is None
