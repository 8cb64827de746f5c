"""What every rule promises, over all rules, options, numbers and gradient streams."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import as_gradients, at, each_rule, numbers_for, params_for, program, runs
from hypothesis import given, settings

from lrtheory import rules
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import Rule

EACH = each_rule()

#: Rules whose direction is no weighted mean of gradients, and what it is instead.
NOT_A_MEAN = {"muon": "the momentum with its singular values pushed to about 1, which is what muon steps along"}


@given(run=runs(steps=7))
@settings(max_examples=8)
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
        for step in range(7):
            now = as_gradients(rule, at(grads, step))
            moved, state = rule.step(hyper, params, state, now)
            effective = rule.effective_lr(hyper, state)
            direction = rule.direction(hyper, params, state, now)
            decay = rule.decay(hyper, params, state, now)
            for name in params:
                predicted = -effective[name] * direction[name] - decay[name]
                realised = moved[name] - params[name]
                size = jnp.abs(effective[name] * direction[name]) + jnp.abs(decay[name])
                bound = 20 * 1.2e-16 * size + 2.3e-16 * (jnp.abs(params[name]) + jnp.abs(moved[name]))
                assert (jnp.abs(predicted - realised) <= bound).all(), (rule, numbers, name, step)
                assert effective[name].shape == params[name].shape
                assert (effective[name] >= 0).all()
            params = moved


@pytest.mark.deep
@given(run=runs(steps=7))
@settings(max_examples=200)
def test_step_is_effective_lr_times_direction_plus_decay_in_many_runs(run) -> None:  # type: ignore[no-untyped-def]
    test_step_is_effective_lr_times_direction_plus_decay.hypothesis.inner_test(run)


@pytest.mark.parametrize("rule", [rule for rule in EACH if rule.name not in NOT_A_MEAN], ids=repr)
def test_direction_of_a_constant_gradient_is_that_gradient(rule: Rule) -> None:
    """The weights of the past gradients sum to 1; without decay, whatever the momentum."""
    if rule.options.get("centered"):
        return  # v − g_avg² of a constant gradient cancels to nothing
    sign = -1 if rule.options.get("maximize") else 1

    @quickly_compiled()
    def moved(hyper, params, state, grads):  # type: ignore[no-untyped-def]
        after, state = rule.step(hyper, params, state, grads)
        return after, state, rule.direction(hyper, params, state, grads)

    with jax.enable_x64(True):
        first = params_for(rule, np.random.default_rng(0))
        dense = params_for(rule, np.random.default_rng(1))
        grads, begun = as_gradients(rule, dense), rule.init(first)
        dense = {name: np.asarray(g) for name, g in dense.items()}
        for numbers in numbers_for(rule):
            without = {"weight_decay": 0.0} if "weight_decay" in rule.Hyper._fields else {}
            hyper, params, state = rule.hyper(**{**numbers, **without}), first, begun
            for _ in range(9):
                params, state, towards = moved(hyper, params, state, grads)
                for name, d in towards.items():
                    np.testing.assert_allclose(d, sign * dense[name], rtol=1e-13)


@pytest.mark.parametrize("rule", EACH, ids=repr)
def test_one_compiled_step_serves_every_value(rule: Rule) -> None:
    traces = []

    @quickly_compiled()
    def step(hyper, params, state, grads):  # type: ignore[no-untyped-def]
        traces.append(None)
        return rule.step(hyper, params, state, grads)

    params = {"layer": params_for(rule, np.random.default_rng(0))}
    grads = {"layer": as_gradients(rule, params["layer"])}
    state = rule.init(params)
    results = set()
    for numbers in numbers_for(rule):
        for lr in (0.1, np.float64(0.05), np.float32(0.2), 1):
            moved, _ = step(rule.hyper(**numbers | {"lr": lr}), params, state, grads)
            results.add(sum(float(np.sum(p)) for p in moved["layer"].values()))
    assert len(traces) == 1
    assert len(results) > 1, "the values had no effect"


@pytest.mark.parametrize("rule", EACH, ids=repr)
def test_runs_under_scan_and_vmap_over_every_number(rule: Rule) -> None:
    """A batch in which every member changes one field, against the members run alone; the structure stays as it is.

    The batched program may fuse and round otherwise, so they agree to a few float32 ulp over three steps.
    """
    rng = np.random.default_rng(1)
    params = params_for(rule, rng)
    grads = jax.tree.map(lambda *g: np.stack(g), *[as_gradients(rule, params_for(rule, rng)) for _ in range(3)])
    base = rule.hyper(**numbers_for(rule)[-1])
    fields = [name for name, value in base._asdict().items() if value is not None]
    members = [base] + [base._replace(**{name: 0.5 * getattr(base, name) + 0.01}) for name in fields]

    def run(hyper, params, state):  # type: ignore[no-untyped-def]
        def step(carry, now):  # type: ignore[no-untyped-def]
            g, factor = now
            return rule.step(hyper._replace(lr=factor * hyper.lr), *carry, g), None

        return jax.lax.scan(step, (params, state), (grads, np.float32([1.0, 0.5, 0.1])))[0]

    batch = type(base)(
        *(None if v is None else np.array([getattr(m, n) for m in members], "f4") for n, v in base._asdict().items())
    )
    begun = rule.init(params)
    many = jax.device_get(quickly_compiled()(jax.vmap(run, (0, None, None)))(batch, params, begun)[0])
    alone = quickly_compiled()(run)
    for i, member in enumerate(members):
        last, state = alone(member, params, begun)
        assert jax.tree.structure(last) == jax.tree.structure(params)
        for name, p in last.items():
            assert i or np.isfinite(p).all()
            np.testing.assert_allclose(many[name][i], p, rtol=2e-5, atol=2e-6)
        if rule.name != "sgd":  # at momentum 0 SGD counts only what enters its buffer
            assert {int(t) for t in jax.tree.leaves(state.t)} == {3}
    assert any((many[name][1:] != many[name][0]).any() for name in many), "no number had an effect"


@pytest.mark.parametrize("rule", EACH, ids=repr)
def test_parameter_without_gradient_stays_as_it_is(rule: Rule) -> None:
    """As torch skips it: parameter, state and step count of that leaf alone are untouched."""
    params = params_for(rule, np.random.default_rng(4))
    skipped, *others = params
    hyper = rule.hyper(**numbers_for(rule)[-1])
    dense = params_for(rule, np.random.default_rng(5))
    params, state = program(rule.step)(hyper, params, rule.init(params), as_gradients(rule, dense))
    grads = as_gradients(rule, dense | {skipped: None})

    @quickly_compiled()
    def figures(hyper, params, state, grads):  # type: ignore[no-untyped-def]
        moved, after = rule.step(hyper, params, state, grads)
        return moved, after, [part(hyper, params, after, grads) for part in (rule.direction, rule.decay)]

    moved, after, parts = figures(hyper, params, state, grads)
    assert np.array_equal(moved[skipped], params[skipped])
    assert not any(np.array_equal(moved[name], params[name]) for name in others)
    for name in state._fields:
        before_field, after_field = getattr(state, name), getattr(after, name)
        if before_field is not None and before_field[skipped] is not None:
            np.testing.assert_array_equal(before_field[skipped], after_field[skipped])
    assert not any(np.any(part[skipped]) for part in parts)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@pytest.mark.parametrize("rule", EACH, ids=repr)
def test_dtypes_of_parameters_and_state_never_change(rule: Rule, dtype: str) -> None:
    """A property of the traced program, whatever the values, also where lr has a dtype of its own."""
    with jax.enable_x64(dtype == "float64"):
        params = params_for(rule, np.random.default_rng(2), dtype)
        state, grads = rule.init(params), as_gradients(rule, params)
        hyper = rule.hyper(**numbers_for(rule)[-1])
        types = lambda tree: jax.tree.map(lambda x: x.dtype, tree)  # noqa: E731
        for lr in (0.1, np.float64(0.1)):
            moved, after = jax.eval_shape(rule.step, hyper._replace(lr=lr), params, state, grads)
            assert types(moved) == types(params)
            assert types(after) == types(state)


@pytest.mark.parametrize("rule", EACH, ids=repr)
def test_rule_is_the_same_object_for_the_same_options(rule: Rule) -> None:
    assert rules.get(rule.name)(**rule.options) is rule
    assert hash(rule) == hash(rules.get(rule.name)(**rule.options))
    assert repr(rule).startswith(rule.name)


def test_adamw_is_adam_decoupled() -> None:
    assert rules.adamw() is rules.adam(decoupled=True)
    assert rules.adamw(amsgrad=True).hyper().weight_decay == 1e-2
    assert rules.adam().hyper().weight_decay == 0


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [(rules.radam(), {"beta2": 1 - 1e-9}), (rules.adamw(), {"lr": 1e30, "weight_decay": 1e30}), (rules.sgd(), {})],
    ids=["divided by zero", "overflow", "plain"],
)
def test_numbers_that_python_knows_give_what_traced_ones_give(rule: Rule, numbers: dict[str, float]) -> None:
    """In every bit, and without warnings of NumPy (which are errors here), also where float32 makes them 1 or inf."""
    params = {"w": jnp.float32([1.0, -2.0, 0.0])}
    known = rule.hyper(**numbers)

    def figures(hyper):  # type: ignore[no-untyped-def]
        after, state = rule.step(hyper, params, rule.init(params), params)
        of_step = rule.direction(hyper, params, state, params), rule.decay(hyper, params, state, params)
        return after, state, rule.effective_lr(hyper, state), of_step, rule.penalty(hyper, params, state)

    jax.tree.map(np.testing.assert_array_equal, figures(known), figures(jax.tree.map(jnp.float32, known)))
