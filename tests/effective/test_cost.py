"""Measuring seldom, or on a sample: what it says, and that it reads no more than it must."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import each_rule, measured, numbers_for
from hypothesis import given
from hypothesis import strategies as st

from lrtheory import effective, rules, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.effective._quantiles import quantiles
from lrtheory.effective._summary import places
from lrtheory.rules.elementwise import is_elementwise, on_coordinates


def step(rule: Any, hyper: Any, params: Any, grads: Any) -> tuple[Any, ...]:
    after, state = quickly_compiled()(rule.step)(hyper, params, rule.init(params), grads)
    return rule, hyper, state, grads, params, after


def drawn(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).lognormal(size=shape), jnp.float32)


@pytest.mark.parametrize("rule", [rules.adamw(), wrappers.clip_by_global_norm(rules.adamw())], ids=["before", "after"])
def test_sample_estimates_what_all_coordinates_say(rule: Any) -> None:
    """Sampled before anything is computed, and after it where a norm over all parameters is part of the rule.

    A mean of n draws is off by more than five standard errors once in two million; log-normal draws have a standard
    deviation of 2.2 and squares one of 54, so that the largest of these figures, a norm, is within 5·½·54/7.4/√n.
    """
    params, grads = {"w": drawn(200, 300)}, {"w": drawn(200, 300, seed=1)}
    numbers = {"max_norm": 1.0} if isinstance(rule, wrappers.Wrapper) else {}
    given_step = step(rule, rule.hyper(lr=0.1, **numbers), params, grads)
    exact = measured(rule)(*given_step[1:])["w"]
    n = 20_000
    sampled = measured(rule, sample=n, exact=False)(*given_step[1:])["w"]
    for name, whole, part in zip(exact._fields, exact, sampled, strict=True):
        if name not in ("minimum", "maximum", "rotation"):
            np.testing.assert_allclose(part, whole, rtol=5 * 0.5 * 54 / 7.4 / n**0.5, err_msg=name)
    np.testing.assert_allclose(sampled.rotation, exact.rotation, rtol=0.3)
    assert exact.minimum <= sampled.minimum < sampled.maximum <= exact.maximum
    assert sampled.step_norm != exact.step_norm, "nothing was left out"


def test_small_parameter_is_never_sampled() -> None:
    given_step = step(rules.adam(), rules.adam().hyper(), {"w": drawn(7, 5)}, {"w": drawn(7, 5, seed=1)})
    whole, part = (
        jax.jit(lambda exact=exact: effective.measure(*given_step, exact=exact))() for exact in (True, False)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), whole, part)


def test_sample_is_all_that_is_computed() -> None:
    """Operations and memory of the compiled measurement of a million coordinates: 4,096 of them count."""
    params = {"w": jax.ShapeDtypeStruct((1000, 1000), jnp.float32)}
    rule = rules.adamw()
    state = jax.eval_shape(rule.init, params)

    def compiled(exact: bool) -> Any:
        def run(state: Any, grads: Any, before: Any, after: Any) -> Any:
            return effective.measure(rule, rule.hyper(), state, grads, before, after, exact=exact)

        return jax.jit(run).lower(state, params, params, params).compile()

    sampled, whole = compiled(exact=False), compiled(exact=True)
    assert sampled.cost_analysis()["flops"] < 200 * 4096 < 20e6 < whole.cost_analysis()["flops"]
    assert sampled.memory_analysis().temp_size_in_bytes < 0.1 * 4e6 < whole.memory_analysis().temp_size_in_bytes


def test_per_example_takes_a_plain_number_inside_jit() -> None:
    found = jax.jit(lambda e: effective.per_example(e, 4, "mean"))(jnp.ones(2))
    np.testing.assert_array_equal(found, 0.25)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0) * 2, True, id="elementwise"),
        pytest.param(lambda x: x + x[0, 0], False, id="one-coordinate"),
        pytest.param(lambda x: x / jnp.sum(x), False, id="sum"),
        pytest.param(lambda x: x + x.T, False, id="transpose"),
        pytest.param(lambda x: jnp.cumsum(x, axis=0), False, id="cumsum"),
        pytest.param(lambda x: x @ x, False, id="matrix-product"),
        pytest.param(lambda x: x + jnp.arange(3.0), False, id="broadcast-row"),
        pytest.param(jax.jit(lambda x: jnp.sort(x)), False, id="inside-jit"),
        pytest.param(lambda x: jax.lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), False, id="cond"),
    ],
)
def test_is_elementwise(function: Any, expected: bool) -> None:
    assert is_elementwise(function, jnp.ones((3, 3))) is expected


@pytest.mark.parametrize("rule", [r for r in each_rule() if not r.array_rule.sparse], ids=repr)
def test_sampled_figures_of_every_rule_are_those_of_the_sampled_coordinates(rule: Any) -> None:
    """One coordinate of every four: extremes of E, rms of d and of the step, from the rule's own arrays."""
    params, grads = {"w": drawn(16, 4)}, {"w": drawn(16, 4, seed=1)}
    hyper = rule.hyper(**numbers_for(rule)[-1])
    made = step(rule, hyper, params, grads)
    found = measured(rule, sample=16, exact=False)(*made[1:])["w"]
    _, _, state, _, _, after = made
    some = lambda tree: np.asarray(tree["w"], np.float64).ravel()[places(64, 16)]  # noqa: E731
    e = some(quickly_compiled()(rule.effective_lr)(hyper, state))
    d = some(quickly_compiled()(rule.direction)(hyper, params, state, grads))
    moved = some(after) - some(params)
    np.testing.assert_allclose([found.minimum, found.maximum, found.mean], [e.min(), e.max(), e.mean()], rtol=1e-5)
    np.testing.assert_allclose(found.direction_rms, np.sqrt(np.mean(d**2)), rtol=1e-5)
    np.testing.assert_allclose(found.step_rms, np.sqrt(np.mean(moved**2)), rtol=1e-3)


def test_what_a_function_makes_of_the_shape_stays() -> None:
    """Half of an array of eight is still told that it is one of eight."""
    function = lambda x: jnp.where(x > 2, x / x.size, 0.0)  # noqa: E731
    found = on_coordinates(lambda x: x[::2], function, jnp.arange(8.0))
    np.testing.assert_array_equal(found, np.asarray(function(jnp.arange(8.0)))[::2])


def test_measure_every_measures_when_it_should_and_only_then() -> None:
    """Inside a scan, in its fixed structure; the trajectory is the unmeasured one bit for bit."""
    rule = rules.adam()
    params = {"w": drawn(8, 4)}
    hyper = rule.hyper(lr=0.1)

    def run(interval: int | None) -> Any:
        def one(carry: Any, t: Any) -> Any:
            params, state = carry
            grads = jax.grad(lambda p: jnp.sum(jnp.sin(3 * p["w"])))(params)
            after, state = rule.step(hyper, params, state, grads)
            made = (rule, hyper, state, grads, params, after)
            seen = None
            if interval:
                seen = (effective.measure(*made), effective.measure_every(t, *made, interval=interval))
            return (after, state), (after, seen)

        return jax.jit(lambda: jax.lax.scan(one, (params, rule.init(params)), jnp.arange(10)))()[1]

    unwatched, _ = run(None)
    watched, (each, seldom) = run(4)
    jax.tree.map(np.testing.assert_array_equal, unwatched, watched)
    looked = np.arange(10) % 4 == 0
    for every_step, some in zip(jax.tree.leaves(each), jax.tree.leaves(seldom), strict=True):
        np.testing.assert_allclose(some[looked], every_step[looked], rtol=1e-6)
        assert np.isnan(some[~looked]).all()


@pytest.mark.parametrize("steps", [3, 8, 10])
def test_scan_is_lax_scan_and_measures_every_fourth_step(steps: int) -> None:
    """Carry, stacked results and what is seen, where the interval divides the steps, does not, and is longer."""

    def step(carry: Any, x: Any) -> Any:
        return 0.5 * carry + x, {"sum": carry + x}, lambda: {"seen": carry * x}

    def plain(carry: Any, x: Any) -> Any:
        carry, y, look = step(carry, x)
        return carry, (y, look())

    xs = jnp.arange(steps) + 1.0
    carry, ys, seen = jax.jit(lambda xs: effective.scan(step, 1.0, xs, interval=4))(xs)
    wanted, (all_ys, all_seen) = jax.lax.scan(plain, 1.0, xs)
    np.testing.assert_array_equal(carry, wanted)
    np.testing.assert_array_equal(ys["sum"], all_ys["sum"])
    np.testing.assert_array_equal(seen["seen"], all_seen["seen"][::4])


def test_scan_refuses_what_it_cannot_count() -> None:
    with pytest.raises(ValueError, match="interval=0"):
        effective.scan(lambda c, x: (c, x, lambda: x), 0.0, jnp.arange(3), interval=0)
    with pytest.raises(ValueError, match="xs has no step"):
        effective.scan(lambda c, x: (c, x, lambda: x), 0.0, jnp.arange(0))


def test_measure_every_refuses_an_interval_below_one() -> None:
    given_step = step(rules.sgd(), rules.sgd().hyper(), {"w": drawn(2)}, {"w": drawn(2)})
    with pytest.raises(ValueError, match="interval=0: measure every step"):
        effective.measure_every(0, *given_step, interval=0)


compiled_quantiles = jax.jit(quantiles, static_argnums=1)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True, allow_subnormal=False)


@given(st.lists(FLOATS, min_size=1, max_size=9))
def test_quantiles_are_numpys(values: list[float]) -> None:
    """To the rounding of float32 relative to the larger neighbour."""
    levels = (0.0, 0.3, 0.5, 1.0)
    x = np.array(values, np.float32)
    found = np.asarray(compiled_quantiles(jnp.asarray(x), levels), np.float64)
    ordered = np.sort(x.astype(np.float64))
    for level, value in zip(levels, found, strict=True):
        below = int(np.floor(level * (x.size - 1)))
        low, high = ordered[below], ordered[min(below + 1, x.size - 1)]
        share = level * (x.size - 1) - below
        with np.errstate(invalid="ignore"):  # -inf and inf meet in nan
            want = low if share == 0 or low == high else (1 - share) * low + share * high
        if not np.isfinite([low, high]).all():
            np.testing.assert_array_equal(value, want)
            continue
        # XLA flushes what is below 1.2e-38 to zero.
        np.testing.assert_allclose(value, want, atol=2.4e-7 * max(abs(low), abs(high)) + 1.2e-38)


def test_quantiles_of_nan_are_nan() -> None:
    assert np.isnan(quantiles(jnp.array([1.0, jnp.nan, 2.0]), (0.5,))).all()
    assert np.isnan(quantiles(-jnp.array([1.0, jnp.nan, 2.0]), (0.5,))).all()


@pytest.mark.parametrize("exact", [True, False])
def test_axis_with_more_places_than_int32_counts_is_measured(exact: bool) -> None:
    """From shapes alone: it would not fit here."""
    params = {"w": jax.ShapeDtypeStruct((2**31 + 5,), jnp.float32)}
    rule = rules.adam()
    state = jax.eval_shape(rule.init, params)
    found = jax.eval_shape(
        lambda *made: effective.measure(rule, rule.hyper(), *made, exact=exact), state, params, params, params
    )
    assert found["w"].quantiles.shape == (len(effective.QUANTILES),)
