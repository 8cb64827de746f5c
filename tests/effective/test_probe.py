"""A small sample of every step: that it says what ``measure`` says of the same coordinates, unbiased, and leaves the run alone."""

from __future__ import annotations

from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import effective, rules, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.effective import _summary
from lrtheory.effective._summary import places

RULES = {
    "adamw": (rules.adamw(), {}),
    "clipped by the norm of all": (wrappers.clip_by_global_norm(rules.adamw()), {"max_norm": 1.0}),
    "adafactor": (rules.adafactor(), {}),
}


def arrays(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"w": jnp.asarray(rng.normal(size=(16, 20)), jnp.float32), "b": jnp.asarray(rng.normal(size=7), jnp.float32)}


def trained(rule: Any, hyper: Any, **options: Any) -> Any:
    """Six steps by ``effective.scan``, measured exactly at two of them."""

    def step(carry: Any, t: Any) -> Any:
        before, state = carry
        grads = jax.tree.map(lambda p: jnp.sin(p + t), before)
        after, state = rule.step(hyper, before, state, grads)
        return (after, state), t, effective.Step(rule, hyper, state, grads, before, after)

    params = arrays()
    return quickly_compiled()(lambda: effective.scan(step, (params, rule.init(params)), jnp.arange(6.0), interval=4, **options))()  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_scan_probes_every_step_and_measures_some_by_one_call(name: str) -> None:
    """What is read of the probe is ``measure`` on the same coordinates, figure by figure; small tensors are whole."""
    rule, numbers = RULES[name]
    hyper = rule.hyper(lr=0.1, **numbers)
    (params, state), ys, exact, probe = trained(rule, hyper, sample=8)
    plain = trained(rule, hyper)
    jax.tree.map(np.testing.assert_array_equal, (params, state, ys), (*plain[0], plain[1]))
    jax.tree.map(np.testing.assert_array_equal, exact, plain[2])
    found = probe.summaries()
    assert found["w"].mean.shape == (6,)
    assert found["w"].quantiles.shape == (6, 5)
    for field, few, all_of_it in zip(found["b"]._fields, found["b"], exact["b"], strict=True):
        np.testing.assert_allclose(few[::4], all_of_it, rtol=2e-4, atol=1e-6, err_msg=field)
    assert not np.allclose(found["w"].step_norm[::4], exact["w"].step_norm), "nothing was left out"
    np.testing.assert_allclose(found["w"].step_norm[::4], exact["w"].step_norm, rtol=0.8)


def one_step(rule: Any, **options: Any) -> tuple[Any, Any]:
    hyper, params, grads = rule.hyper(lr=0.1), arrays(), arrays(1)

    @quickly_compiled()
    def run() -> Any:
        after, state = rule.step(hyper, params, rule.init(params), grads)
        made = (rule, hyper, state, grads, params, after)
        return effective.probe(*made, **options), effective.measure(*made, exact=False, **options)

    return run()


def agree(probe: Any, found: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), probe.summaries(), found)


def test_probe_is_measure_of_the_same_coordinates_and_a_wrong_place_is_seen() -> None:
    agree(*one_step(rules.adamw(), sample=8))
    probe, found = one_step(rules.adamw(), sample=8)
    shifted = effective.Probe(tuple(jnp.roll(x, 1) for x in probe.packed), probe.layout)
    with pytest.raises(AssertionError):
        agree(shifted, found)


def spread_of_estimates(size: int, sample: int, values: np.ndarray, draw: Any) -> tuple[float, float]:
    estimates = [values[draw(size, sample, seed)].mean() for seed in range(400)]
    return float(np.mean(estimates)), float(np.std(estimates))


def test_estimate_is_unbiased_and_its_error_is_what_is_said() -> None:
    """Columns of different scale, as a layer's units have: a mean over draws is the mean, within four of its standard errors."""
    columns = np.tile(np.exp(np.random.default_rng(0).normal(size=64)), 64)
    mean, error = spread_of_estimates(columns.size, 64, columns, places)
    said = columns.std() / 64**0.5
    assert abs(mean - columns.mean()) < 4 * said / 400**0.5
    assert error < 1.2 * said


def test_evenly_spaced_places_would_be_caught() -> None:
    """64 of 4,096 are the first column alone."""
    columns = np.tile(np.exp(np.random.default_rng(0).normal(size=64)), 64)
    even = lambda size, sample, seed: np.arange(0, size, size // sample)  # noqa: E731
    mean, error = spread_of_estimates(columns.size, 64, columns, even)
    assert error < 1e-12
    assert abs(mean - columns.mean()) > 4 * columns.std() / 64**0.5 / 400**0.5


def test_sampled_measure_sees_every_column() -> None:
    """4,096 of 2,048 × 2,048 evenly spaced would be two columns; a step in the others would not be seen."""
    reached = np.unique(places(2048 * 2048, 4096) % 2048)
    assert len(reached) > 1_000


def test_one_program_serves_all_numbers_and_draws_are_one_a_shape() -> None:
    """Traced numbers, one compile; equal layouts, so that both branches of a cond give one structure."""
    rule, params = rules.adam(), arrays()
    compiled = 0

    @jax.jit
    def run(lr: Any) -> Any:
        nonlocal compiled
        compiled += 1
        hyper = rule.hyper(lr=lr)
        after, state = rule.step(hyper, params, rule.init(params), params)
        look = lambda: effective.probe(rule, hyper, state, params, params, after, sample=8)  # noqa: E731
        return jax.lax.cond(lr > 0, look, look)

    means = [float(run(jnp.float32(lr)).summaries()["b"].mean) for lr in (0.1, 0.2)]
    assert compiled == 1
    np.testing.assert_allclose(means[1] / means[0], 2, rtol=1e-5)


def test_refusals() -> None:
    rule, params = rules.sgd(), arrays()
    with pytest.raises(ValueError, match="sample=0"):
        effective.probe(rule, rule.hyper(), rule.init(params), params, params, params, sample=0)
    with pytest.raises(TypeError, match=r"needs an effective\.Step from the step function, not function"):
        effective.scan(lambda c, x: (c, x, lambda: c), 0.0, jnp.arange(3), sample=4)


def test_places_are_one_of_each_stretch() -> None:
    found = places(1_000, 10)
    np.testing.assert_array_equal(found // 100, np.arange(10))
    with mock.patch.object(_summary, "places", lambda size, sample: np.zeros(sample, int)):
        probe, _ = one_step(rules.adam(), sample=8)
    assert np.ptp(np.asarray(probe.layout.unpacked(probe.packed)[1]["w"])) == 0
