"""Moments, stationary covariances, the noise scale and the search for steps to a target."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import quadratic, rules
from lrtheory.quadratic.trade_off import _critical_lr

SGD = rules.sgd()


def repeated(step: quadratic.LinearStep, times: int) -> quadratic.LinearStep:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (times, *x.shape)), step)


def test_moments_agree_with_sampled_runs() -> None:
    """Mean and variance of 20 000 sampled runs, within 4.5 standard errors: 1 false alarm in 20 000 seeds."""
    n, steps, batch = 20_000, 30, 4.0
    rng = np.random.default_rng(0)
    h, c, mean, spread = 1.5, 2.0, 3.0, 0.5
    p, buffer = mean + np.sqrt(spread) * rng.standard_normal(n), 0.0
    for t in range(steps):
        g = h * p + np.sqrt(c / batch) * rng.standard_normal(n)
        buffer = g if t == 0 else 0.8 * buffer + 0.7 * g
        p = p - 0.1 * buffer
    with jax.enable_x64(True):
        hyper = SGD.hyper(lr=np.full(steps, 0.1), momentum=0.8, dampening=0.3)
        problem = quadratic.NoisyQuadratic(*(jnp.array([x]) for x in (h, c, mean, spread)))
        moments, losses = quadratic.propagate(quadratic.linear_steps(SGD, hyper), problem, batch)
    variance = float(moments.covariance[0, 0, 0])
    assert abs(p.mean() - float(moments.mean[0, 0])) < 4.5 * np.sqrt(variance / n)
    assert abs(p.var() / variance - 1) < 4.5 * np.sqrt(2 / n)
    assert float(losses[-1]) == pytest.approx(0.5 * h * np.mean(p**2), rel=4.5 * np.sqrt(3 / n))


def test_a_long_run_settles_at_the_stationary_covariance() -> None:
    with jax.enable_x64(True):
        step = quadratic.linear_step(SGD, SGD.hyper(lr=0.2, momentum=0.6, weight_decay=0.1))
        h, c = jnp.array([0.5, 2.0]), jnp.array([1.0, 3.0])
        problem = quadratic.NoisyQuadratic(h, c, jnp.ones(2), jnp.ones(2))
        moments, _ = quadratic.propagate(repeated(step, 400), problem, 2.0)
        np.testing.assert_allclose(moments.covariance, quadratic.stationary(step, h, c / 2), rtol=1e-9)


def test_there_is_no_stationary_covariance_over_the_threshold() -> None:
    with jax.enable_x64(True):
        step = quadratic.linear_step(SGD, SGD.hyper(lr=1.0, momentum=0.5))
        covariance = np.asarray(quadratic.stationary(step, jnp.array([2.99, 3.01]), jnp.ones(2)))
    assert np.isfinite(covariance[0]).all()
    assert np.isnan(covariance[1]).all()


@pytest.mark.parametrize(("lr", "momentum"), [(0.4, 0.0), (0.1, 0.9), (0.02, 0.5)])
def test_steps_to_target_are_those_of_a_run(lr: float, momentum: float) -> None:
    batches, target = (1.0, 16.0, 4096.0), 0.3
    with jax.enable_x64(True):
        problem = quadratic.power_law(200)
        step = quadratic.linear_step(SGD, SGD.hyper(lr=lr, momentum=momentum))
        found = np.asarray(quadratic.steps_to_target(step, problem, jnp.array(batches), target))
        for batch, steps in zip(batches, found, strict=True):
            losses = np.asarray(quadratic.propagate(repeated(step, 3000), problem, batch)[1])
            met = losses <= target
            assert steps == (1 + np.argmax(met) if met[-1] else np.inf), (batch, losses[-1])
    assert np.isfinite(found).any()


def test_a_target_met_at_once_takes_no_step() -> None:
    with jax.enable_x64(True):
        step = quadratic.linear_step(SGD, SGD.hyper(lr=0.1))
        assert quadratic.steps_to_target(step, quadratic.power_law(8), jnp.ones(1), 100.0)[0] == 0


def test_tuned_lr_is_as_good_as_any_on_a_fine_grid() -> None:
    with jax.enable_x64(True):
        problem, target, batches = quadratic.power_law(100), 0.02, (4, 64, 65536)
        found = quadratic.tune(SGD, problem, batches, target)
        grid = np.geomspace(2e-4, 2.0, 400)
        steps = np.array(
            [
                quadratic.steps_to_target(
                    quadratic.linear_step(SGD, SGD.hyper(lr=lr)), problem, jnp.array(batches, float), target
                )
                for lr in grid
            ]
        )
    assert (found.steps <= 1.002 * steps.min(axis=0) + 1).all(), (found, steps.min(axis=0))
    assert (np.diff(found.lr) > 0).all()
    with_momentum = quadratic.tune(SGD, problem, batches, target, momenta=(0.0, 0.7))
    assert (with_momentum.steps <= found.steps).all()
    assert with_momentum.steps[0] > 0.9 * found.steps[0]  # little to gain while noise decides
    assert with_momentum.steps[-1] < 0.6 * found.steps[-1]


def test_a_target_below_the_noise_is_refused() -> None:
    with pytest.raises(ValueError, match=r"with batches \[1\]: noise keeps it above"):
        quadratic.tune(SGD, quadratic.power_law(100), (1,), 1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_lr_is_searched_up_to_the_threshold(momentum: float) -> None:
    with jax.enable_x64(True):
        assert _critical_lr(SGD, momentum, 2.0) == pytest.approx((1 + momentum), rel=1e-12)


def test_ten_thousand_dimensions_take_a_moment() -> None:
    """Two million steps of 10⁴ dimensions, for 15 batch sizes at once."""
    import time

    with jax.enable_x64(True):
        problem = quadratic.power_law(10_000)
        batches = jnp.array([2.0**k for k in range(2, 17)])
        step = quadratic.linear_step(SGD, SGD.hyper(lr=0.01, momentum=0.0))
        quadratic.steps_to_target(step, problem, batches, 0.01).block_until_ready()
        begun = time.process_time()
        steps = np.asarray(quadratic.steps_to_target(step, problem, batches, 0.01))
        assert time.process_time() - begun < 5
    assert (np.diff(steps) <= 0).all()
    assert np.isfinite(steps).all()


def test_critical_curvature_is_nan_where_nothing_is_stable() -> None:
    with jax.enable_x64(True):
        step = quadratic.linear_step(SGD, SGD.hyper(lr=0.1, momentum=1.2))
        assert np.isnan(quadratic.critical_curvature(step, 10.0))
