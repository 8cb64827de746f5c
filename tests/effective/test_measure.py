"""What is measured, against numpy by hand; and that measuring changes nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import each_rule, measured, numbers_for
from hypothesis import given
from hypothesis import strategies as st

from lrtheory import effective, rules, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import Rule

#: XLA on CPU contracts these steps otherwise beside a measurement: one float32 ulp a step, which 25 steps add up to 3e-6
#: and feed back through the gradient; 1e-5 is empirical. Compiled without contractions, no bit of theirs changes either.
CONTRACTED = {"schedule_free_sgd"}
if jax.__version_info__ >= (0, 11):
    CONTRACTED |= {"adabelief", "nadam", "schedule_free_adamw"}


def one_step(rule: Rule, hyper, params, grads):  # type: ignore[no-untyped-def]
    after, state = rule.step(hyper, params, rule.init(params), grads)
    return state, after


PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.array([0.0, 0.0, 0.0])}
GRADS = {"w": jnp.array([[3.0, 0.1], [-1e-9, 2.0]]), "b": jnp.array([1.0, 0.0, -1.0])}


def test_summary_of_adam_is_what_numpy_gives() -> None:
    rule = rules.adam(decoupled=True)
    hyper = rule.hyper(lr=0.1, eps=1e-3, weight_decay=0.5)
    state, after = one_step(rule, hyper, PARAMS, GRADS)
    found = measured(rule)(hyper, state, GRADS, PARAMS, after)["w"]
    g, p = np.asarray(GRADS["w"], np.float64), np.asarray(PARAMS["w"], np.float64)
    e = 0.1 / (np.abs(g) + 1e-3)
    decay = 0.1 * 0.5 * p
    moved = -e * g - decay
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5)  # noqa: E731
    close(found.nominal_lr, 0.1)
    close([found.minimum, found.maximum, found.mean], [e.min(), e.max(), e.mean()])
    close(found.harmonic_mean, 1 / np.mean(1 / e))
    close(found.harmonic_mean, 0.1 / (np.abs(g).mean() + 1e-3))
    close(found.quantiles, np.quantile(e, effective.QUANTILES))
    close(found.eps_dominated, 1 / 4)
    close(found.direction_rms, np.sqrt(np.mean(g**2)))
    close([found.param_norm, found.param_rms], [np.linalg.norm(p), np.sqrt(np.mean(p**2))])
    close([found.step_norm, found.step_rms], [np.linalg.norm(moved), np.sqrt(np.mean(moved**2))])
    close(found.relative_update, np.linalg.norm(moved) / np.linalg.norm(p))
    norm = np.linalg.norm
    close(found.decay_share, norm(decay) / (norm(decay) + norm(e * g)))
    close(found.angular_lr, 0.1 / norm(p))
    cosine = np.sum(p * (p + moved)) / norm(p) / norm(p + moved)
    close(found.rotation, np.arccos(cosine))


def test_summary_of_sgd_with_coupled_decay() -> None:
    rule = rules.sgd()
    hyper = rule.hyper(lr=0.25, weight_decay=0.5)
    state, after = one_step(rule, hyper, PARAMS, GRADS)
    found = measured(rule)(hyper, state, GRADS, PARAMS, after)
    w, b = found["w"], found["b"]
    assert {float(x) for x in (w.minimum, w.maximum, w.harmonic_mean, *w.quantiles)} == {0.25}
    assert float(w.eps_dominated) == 0
    norm = np.linalg.norm
    g, p = np.asarray(GRADS["w"]), np.asarray(PARAMS["w"])
    np.testing.assert_allclose(w.decay_share, norm(0.5 * p) / (norm(0.5 * p) + norm(g)), rtol=1e-6)
    np.testing.assert_allclose(w.angular_lr, 0.25 / norm(p) ** 2, rtol=1e-6)
    assert float(b.decay_share) == 0
    assert np.isinf(b.relative_update), "a parameter that started at zero"


@pytest.mark.parametrize("rule", [r for r in each_rule() if not r.array_rule.sparse], ids=repr)
def test_measuring_every_step_does_not_change_a_bit(rule: Rule) -> None:
    """The same scan with and without measuring, compiled, in float32."""
    numbers = numbers_for(rule)[-1]
    hyper = rule.hyper(**numbers)
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((16, 8)), jnp.float32), "b": jnp.zeros((1, 8))}
    x = jnp.asarray(rng.standard_normal((32, 16)), jnp.float32)

    def loss(params):  # type: ignore[no-untyped-def]
        return jnp.mean(jnp.tanh(x @ params["w"] + params["b"]) ** 2 + jnp.sin(3 * params["w"]).sum())

    def run(measured: bool, jit):  # type: ignore[no-untyped-def]
        def step(carry, _):  # type: ignore[no-untyped-def]
            params, state = carry
            grads = jax.grad(loss)(params)
            after, state = rule.step(hyper, params, state, grads)
            summary = effective.measure(rule, hyper, state, grads, params, after) if measured else None
            return (after, state), (after, summary)

        return jit(lambda: jax.lax.scan(step, (params, rule.init(params)), None, length=25))()

    contracted = rule.name in CONTRACTED
    for jit, exact in [(jax.jit, not contracted)] + [(quickly_compiled(), True)] * contracted:
        (_, state), (plain, _) = run(False, jit)
        (_, watched_state), (watched, summary) = run(True, jit)
        for a, b in zip(jax.tree.leaves((plain, state)), jax.tree.leaves((watched, watched_state)), strict=True):
            if exact:
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert summary["w"].quantiles.shape == (25, len(effective.QUANTILES))
    assert np.isfinite(summary["w"].step_norm).all()


def test_measure_runs_under_vmap_and_keeps_its_structure() -> None:
    rule = rules.adam()
    state, after = one_step(rule, rule.hyper(), PARAMS, GRADS)
    one = measured(rule)(rule.hyper(), state, GRADS, PARAMS, after)

    def at(lr):  # type: ignore[no-untyped-def]
        hyper = rule.hyper(lr=lr)
        state, after = one_step(rule, hyper, PARAMS, GRADS)
        return effective.measure(rule, hyper, state, GRADS, PARAMS, after)

    many = quickly_compiled()(jax.vmap(at))(jnp.array([0.1, 0.2]))
    assert jax.tree.structure(many) == jax.tree.structure(one)
    assert many["w"].mean.shape == (2,)
    np.testing.assert_allclose(many["w"].mean[1], 2 * many["w"].mean[0], rtol=1e-6)


def test_large_parameter_has_its_quantiles_from_an_even_sample() -> None:
    rule = rules.adam()
    rng = np.random.default_rng(0)
    params = {"w": jnp.zeros(10_000)}
    grads = {"w": jnp.asarray(rng.lognormal(size=10_000), jnp.float32)}
    hyper = rule.hyper()
    state, after = one_step(rule, hyper, params, grads)
    exact = measured(rule)(hyper, state, grads, params, after)["w"]
    sampled = measured(rule, sample=1000)(hyper, state, grads, params, after)["w"]
    # A quantile of a sample of n has standard error √(q(1−q)/n)/density, here below 0.1 of the value: five of them.
    np.testing.assert_allclose(sampled.quantiles, exact.quantiles, rtol=0.5)
    assert not np.array_equal(sampled.quantiles, exact.quantiles)
    assert sampled.maximum == exact.maximum


@given(size=st.floats(-30, 30), angle=st.floats(1e-6, 3.1))
def test_norm_and_angle_hold_over_the_range_of_float32(size: float, angle: float) -> None:
    """Squares of 1e±30 leave float32; the norm must not. The angle is read to 1e-5 of itself, or two ulp of π."""
    scale = 10.0**size
    a = scale * np.array([1.0, 0.0])
    b = 2 * scale * np.array([np.cos(angle), np.sin(angle)])
    rule = rules.sgd()
    hyper = rule.hyper(lr=1.0)
    params, after = {"w": jnp.asarray(a, jnp.float32)}, {"w": jnp.asarray(b, jnp.float32)}
    summary = measured(rule)(hyper, rule.init(params), params, params, after)["w"]
    np.testing.assert_allclose(summary.param_norm, scale, rtol=1e-6)
    np.testing.assert_allclose(summary.rotation, angle, rtol=1e-5, atol=5e-7)


def test_per_example_effective_lr_depends_on_the_reduction() -> None:
    e = {"w": jnp.array([1.0, 2.0])}
    np.testing.assert_array_equal(effective.per_example(e, 4, "mean")["w"], [0.25, 0.5])
    np.testing.assert_array_equal(effective.per_example(e, 4, "sum")["w"], e["w"])
    with pytest.raises(ValueError, match="'average' must be 'mean' or 'sum'"):
        effective.per_example(e, 4, "average")
    with pytest.raises(ValueError, match="batch_size=0: a batch has one example or more"):
        effective.per_example(e, 0, "mean")


def test_parameter_without_gradient_took_no_step() -> None:
    rule = rules.sgd()
    hyper = rule.hyper(lr=0.1, weight_decay=0.5)
    grads = {"w": GRADS["w"], "b": None}
    params = {"w": PARAMS["w"], "b": jnp.ones(3)}
    after, state = rule.step(hyper, params, rule.init(params), grads)
    b = effective.measure(rule, hyper, state, grads, params, after)["b"]
    assert (float(b.step_norm), float(b.decay_share), float(b.direction_rms)) == (0, 0, 0)


def test_share_of_decay_is_that_of_the_step_taken_under_clipping() -> None:
    """One step with the gradient clipped by the wrapper, and one with the gradient clipped beforehand."""
    bare, clipped = rules.sgd(), wrappers.clip_by_global_norm(rules.sgd(), homogeneous=True)
    params, grads = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([300.0, -400.0])}
    by_hand = jax.tree.map(lambda g: g / 500, grads)
    shares = []
    for rule, given_grads, numbers in ((bare, by_hand, {}), (clipped, grads, {"max_norm": 1.0})):
        hyper = rule.hyper(lr=0.1, weight_decay=0.5, **numbers)
        after, state = rule.step(hyper, params, rule.init(params), given_grads)
        shares.append(effective.measure(rule, hyper, state, given_grads, params, after)["w"].decay_share)
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-5)
    assert shares[0] > 0.4
