"""What every rule promises, over all rules, options, numbers and gradient streams."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import at, every_rule, numbers_for, runs
from hypothesis import given

from lrtheory import rules
from lrtheory.rules import Rule

RULES = every_rule()


def tree_like(rng: np.random.Generator) -> dict:
    return {"layer": {"w": jnp.asarray(rng.standard_normal((4, 3))), "b": jnp.asarray(rng.standard_normal(3))}}


@given(run=runs())
def test_step_is_effective_lr_times_direction_plus_decay(run) -> None:  # type: ignore[no-untyped-def]
    r"""Δθ = −E⊙d − decay at every step, in float64.

    Bound: E and d are formed by other divisions and products than the step, fewer than 20 roundings of 1.1e-16 relative
    to the step, and the step is read from a difference of parameters, one rounding relative to the parameter.
    """
    rule, numbers, params, grads = run
    with jax.enable_x64(True):
        hyper = rule.hyper(**numbers)
        params = jax.tree.map(jnp.asarray, params)
        state = rule.init(params)
        for step in range(len(grads["b"])):
            now = at(grads, step)
            moved, state = rule.step(hyper, state, now, params)
            effective = rule.effective_lr(hyper, state)
            direction = rule.direction(hyper, state, now, params)
            decay = rule.decay(hyper, state, now, params)
            for name in params:
                predicted = -effective[name] * direction[name] - decay[name]
                realised = moved[name] - params[name]
                size = jnp.abs(effective[name] * direction[name]) + jnp.abs(decay[name])
                bound = 20 * 1.2e-16 * size + 2.3e-16 * (jnp.abs(params[name]) + jnp.abs(moved[name]))
                assert (jnp.abs(predicted - realised) <= bound).all(), (rule, numbers, name, step)
                assert effective[name].shape == params[name].shape
                assert (effective[name] >= 0).all()
            params = moved


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_direction_of_a_constant_gradient_is_that_gradient(rule: Rule) -> None:
    """The weights of the past gradients sum to 1; without decay, whatever the momentum."""
    for given_numbers in numbers_for(rule):
        numbers = {name: value for name, value in given_numbers.items() if name != "weight_decay"}
        sign = -1 if rule.options.get("maximize") else 1
        if rule.options.get("centered"):
            continue  # v − g_avg² of a constant gradient cancels to nothing
        with jax.enable_x64(True):
            hyper = rule.hyper(**numbers, **({"weight_decay": 0.0} if "weight_decay" in rule.Hyper._fields else {}))
            params = {"w": jnp.array([1.0, -2.0, 3.0])}
            grads = {"w": jnp.array([0.5, -3.0, 1e-2])}
            state = rule.init(params)
            for _ in range(9):
                before = params
                params, state = rule.step(hyper, state, grads, params)
                direction = rule.direction(hyper, state, grads, before)
                np.testing.assert_allclose(direction["w"], sign * grads["w"], rtol=1e-14)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_one_compiled_step_serves_every_value(rule: Rule) -> None:
    traces = []

    @jax.jit
    def step(hyper, state, grads, params):  # type: ignore[no-untyped-def]
        traces.append(None)
        return rule.step(hyper, state, grads, params)

    params = tree_like(np.random.default_rng(0))
    state = rule.init(params)
    results = set()
    for numbers in numbers_for(rule):
        for lr in (0.1, np.float64(0.05), np.float32(0.2), 1):
            moved, _ = step(rule.hyper(**numbers | {"lr": lr}), state, params, params)
            results.add(float(moved["layer"]["w"][0, 0]))
    assert len(traces) == 1
    assert len(results) > 1, "the values had no effect"


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_vmap_runs_over_every_number(rule: Rule) -> None:
    """A batch of values of one field gives what the single values give, bit for bit in the field's own run."""
    rng = np.random.default_rng(1)
    params = tree_like(rng)
    grads = [jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params) for _ in range(3)]
    numbers = numbers_for(rule)[-1]

    def run(hyper):  # type: ignore[no-untyped-def]
        p, state = params, rule.init(params)
        for g in grads:
            p, state = rule.step(hyper, state, g, p)
        return p

    base = rule.hyper(**numbers)
    compiled = jax.jit(run)
    for field, value in zip(base._fields, base, strict=True):
        if value is None:
            continue
        values = jnp.array([value, 0.5 * value + 0.01, 0.25 * value + 0.02])
        axes = type(base)(*(0 if name == field else None for name in base._fields))
        many = jax.jit(jax.vmap(run, in_axes=(axes,)))(base._replace(**{field: values}))
        for i in range(3):
            one = compiled(base._replace(**{field: values[i]}))
            jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=3e-6, atol=1e-7), many, one)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_parameter_without_gradient_stays_as_it_is(rule: Rule) -> None:
    """As torch skips it: parameter, state and step count of that leaf alone are untouched."""
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([3.0])}
    hyper = rule.hyper(**numbers_for(rule)[-1])
    state = rule.init(params)
    grads = {"a": jnp.array([1.0, -1.0]), "b": jnp.array([0.5])}
    params, state = rule.step(hyper, state, grads, params)
    moved, after = rule.step(hyper, state, {"a": grads["a"], "b": None}, params)
    assert (moved["b"] == params["b"]).all()
    assert not (moved["a"] == params["a"]).all()
    for name in state._fields:
        before_field, after_field = getattr(state, name), getattr(after, name)
        if before_field is not None:
            np.testing.assert_array_equal(before_field["b"], after_field["b"])
    skipped = {"a": grads["a"], "b": None}
    assert (rule.direction(hyper, after, skipped, params)["b"] == 0).all()
    assert (rule.decay(hyper, after, skipped, params)["b"] == 0).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_dtypes_of_parameters_and_state_never_change(rule: Rule, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.map(lambda x: x.astype(dtype), tree_like(np.random.default_rng(2)))
        state = rule.init(params)
        hyper = rule.hyper(**numbers_for(rule)[-1])
        moved, after = rule.step(hyper, state, params, params)
        again, _ = rule.step(hyper._replace(lr=np.float64(0.1)), after, params, moved)
    types = lambda tree: jax.tree.map(lambda x: x.dtype, tree)  # noqa: E731
    assert types(moved) == types(params) == types(again)
    assert types(after) == types(state)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_runs_under_scan_with_a_fixed_structure(rule: Rule) -> None:
    params = tree_like(np.random.default_rng(3))
    hyper = rule.hyper(**numbers_for(rule)[-1])

    def step(carry, lr):  # type: ignore[no-untyped-def]
        params, state = carry
        return rule.step(hyper._replace(lr=lr), state, params, params), None

    (last, state), _ = jax.lax.scan(step, (params, rule.init(params)), jnp.linspace(0.1, 0.01, 8))
    assert jax.tree.structure(last) == jax.tree.structure(params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(last))
    if rule.name != "sgd":  # at momentum 0 SGD counts only what enters its buffer
        assert {int(t) for t in jax.tree.leaves(state.t)} == {8}


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rule_is_the_same_object_for_the_same_options(rule: Rule) -> None:
    assert rules.get(rule.name)(**rule.options) is rule
    assert hash(rule) == hash(rules.get(rule.name)(**rule.options))
    assert repr(rule).startswith(rule.name)


def test_adamw_is_adam_decoupled() -> None:
    assert rules.adamw() is rules.adam(decoupled=True)
    assert rules.adamw(amsgrad=True).hyper().weight_decay == 1e-2
    assert rules.adam().hyper().weight_decay == 0
