"""What was clipped, what of a decay a dtype can hold, and what moves without a gradient."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import effective, rules, wrappers
from lrtheory.effective import Whole


def after_one(rule, hyper, params, grads):  # type: ignore[no-untyped-def]
    after, state = rule.step(hyper, params, rule.init(params), grads)
    return effective.measure(rule, hyper, state, grads, params, after)


PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}


@pytest.mark.parametrize(
    ("clipped", "numbers", "factors"),
    [
        (wrappers.clip_by_global_norm(rules.sgd(), homogeneous=True), {"max_norm": 6.5}, (0.5, 0.5)),
        (wrappers.clip_by_norm(rules.sgd(), homogeneous=True), {"max_norm": 2.5}, (0.5, 2.5 / 12)),
        (wrappers.clip_by_value(rules.sgd()), {"clip_value": 2.0}, ((2 / 3 + 2 / 4) / 2, 2 / 12)),
        (rules.sgd(), {}, (1, 1)),
        (wrappers.average_weights(rules.sgd()), {}, (1, 1)),
    ],
    ids=lambda x: repr(x) if hasattr(x, "hyper") else "",
)
def test_clip_factor_is_what_the_gradient_was_multiplied_by(clipped, numbers, factors) -> None:  # type: ignore[no-untyped-def]
    grads = {"w": jnp.array([3.0, -4.0]), "b": jnp.array([12.0])}
    found = after_one(clipped, clipped.hyper(lr=0.1, **numbers), PARAMS, grads)
    np.testing.assert_allclose([found["w"].clip_factor, found["b"].clip_factor], factors, rtol=1e-6)


def test_clips_within_clips_multiply_and_an_absent_gradient_has_factor_one() -> None:
    rule = wrappers.clip_by_value(wrappers.clip_by_global_norm(rules.sgd(), homogeneous=True))
    hyper = rule.hyper(lr=0.1, clip_value=3.0, max_norm=1.5)
    found = after_one(rule, hyper, PARAMS, {"w": jnp.array([6.0, 0.0]), "b": None})
    np.testing.assert_allclose([found["w"].clip_factor, found["b"].clip_factor], [(0.5 + 1) / 2 * 0.5, 1], rtol=1e-6)


def test_clip_of_a_sum_is_that_of_the_sum() -> None:
    rule = wrappers.accumulate(wrappers.clip_by_global_norm(rules.sgd(), homogeneous=True), every=2)
    hyper, params = rule.hyper(lr=0.1, max_norm=1.0), {"w": jnp.array([1.0])}
    after, state = rule.step(hyper, params, rule.init(params), {"w": jnp.array([8.0])})
    grads = {"w": jnp.array([0.0])}
    after, state = rule.step(hyper, after, state, grads)
    np.testing.assert_allclose(effective.measure(rule, hyper, state, grads, params, after)["w"].clip_factor, 0.25)


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 9), ("float16", 12), ("float32", 25)])
def test_decay_is_held_against_the_dtype(dtype: str, bits: int) -> None:
    """Lr·weight_decay of 2⁻¹⁰, over half the spacing just below 1; decay below that is lost at every number from 1 to 2."""
    rule = rules.adamw()
    params = {"w": jnp.linspace(1, 2, 100, endpoint=False).astype(dtype)}
    for power in (bits - 2, bits + 1):
        hyper = rule.hyper(lr=2.0**-power, weight_decay=1.0)
        found = after_one(rule, hyper, params, {"w": jnp.zeros(100, dtype)})["w"]
        np.testing.assert_allclose(found.decay_resolution, 2.0 ** (bits - power), rtol=1e-6)
        assert float(found.absorbed) == (1.0 if power > bits else 0.0)
    assert float(after_one(rule, rule.hyper(weight_decay=0.0), params, params)["w"].decay_resolution) == 0


def test_coupled_decay_counts_by_what_it_removes() -> None:
    rule = rules.sgd()
    found = after_one(rule, rule.hyper(lr=0.1, weight_decay=0.5), PARAMS, PARAMS)["w"]
    np.testing.assert_allclose(found.decay_resolution, 0.05 * 2.0**25, rtol=1e-6)


def test_what_moves_without_a_gradient_is_counted() -> None:
    rule = rules.adamw()
    grads = {"w": jnp.array([0.0, 1.0]), "b": None}
    found = after_one(rule, rule.hyper(weight_decay=0.5), PARAMS, grads)
    assert (float(found["w"].moved_without_gradient), float(found["b"].moved_without_gradient)) == (0.5, 0)
    still = after_one(rule, rule.hyper(weight_decay=0.0), PARAMS, {"w": jnp.array([0.0, 1.0]), "b": jnp.zeros(1)})
    assert (float(still["w"].moved_without_gradient), float(still["b"].moved_without_gradient)) == (0, 0)
    sparse = rules.sparse_adam()
    rows = rules.SparseGradient(jnp.array([[1]]), jnp.array([1.0]), (2,))
    params = {"w": PARAMS["w"]}
    assert float(after_one(sparse, sparse.hyper(), params, {"w": rows})["w"].moved_without_gradient) == 0


def test_sample_of_a_known_whole_has_its_norm() -> None:
    rule = rules.adam()
    rng = np.random.default_rng(0)
    params, grads = ({"w": jnp.asarray(rng.standard_normal(1000), jnp.float32)} for _ in "pg")
    hyper = rule.hyper(lr=0.1)
    after, state = rule.step(hyper, params, rule.init(params), grads)
    exact = effective.measure(rule, hyper, state, grads, params, after)["w"]
    cut = lambda tree: {"w": tree["w"][::4]}  # noqa: E731
    sampled = rule.State(*(s if s is None else {"w": s["w"] if s["w"].ndim == 0 else s["w"][::4]} for s in state))
    known = {"w": Whole(1000, exact.param_norm)}
    found = effective.measure(rule, hyper, sampled, cut(grads), cut(params), cut(after), whole=known)["w"]
    np.testing.assert_allclose(found.param_norm, exact.param_norm, rtol=1e-6)
    np.testing.assert_allclose(found.relative_update, exact.relative_update, rtol=1e-2)
    unknown = effective.measure(
        rule, hyper, sampled, cut(grads), cut(params), cut(after), whole={"w": Whole(1000, jnp.nan)}
    )["w"]
    np.testing.assert_allclose(unknown.param_norm, 2 * np.linalg.norm(params["w"][::4]), rtol=1e-6)


def test_step_of_no_known_rule_is_read_off_as_one_of_a_known_rule() -> None:
    rule = rules.adamw()
    params = {"w": jnp.asarray([1.0, 2.0**-12, 1.0], jnp.bfloat16)}
    grads = {"w": jnp.asarray([1.0, 1.0, 0.0], jnp.bfloat16)}
    hyper = rule.hyper(lr=6e-4, weight_decay=1e-4)
    after, state = rule.step(hyper, params, rule.init(params), grads)
    known = effective.measure(rule, hyper, state, grads, params, after)["w"]
    found = effective.realised(6e-4, grads, params, after)["w"]
    for name, a, b in zip(found._fields, found, known, strict=True):
        if np.all(np.isfinite(a)) and name not in ("absorbed", "step_over_gradient"):
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert np.isnan(found.mean)
    assert np.isnan(found.quantiles).all()
    # Of the three the last was meant to decay, which only a rule can tell.
    np.testing.assert_allclose([known.absorbed, found.absorbed], [2 / 3, 1 / 3], rtol=1e-6)
    moved = np.linalg.norm(np.asarray(after["w"], np.float32) - np.asarray(params["w"], np.float32))
    np.testing.assert_allclose(found.step_over_gradient, moved / 2**0.5, rtol=1e-6)
