"""Public functions on scale-invariant weights: values at known points, and what they refuse."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrtheory import effective, rules
from lrtheory.laws.invariance import (
    adamw_schedule,
    angular_lr,
    buffer_seed,
    equilibrium,
    numbers_for_length,
    rotation_per_step,
    sgd_schedule,
)
from lrtheory.theory import NoLaw


@pytest.mark.parametrize(("name", "power"), [("sgd", 2), ("adam", 1), ("lion", 1), ("lars", 0), ("lamb", 0)])
def test_angular_lr_is_that_of_a_measurement(name, power):
    rule = rules.get(name)()
    hyper, params = rule.hyper(lr=0.5), {"w": jnp.array([3.0, 4.0])}
    assert angular_lr(rule, hyper, 5.0) == pytest.approx(0.5 / 5**power)
    after, state = rule.step(hyper, params, rule.init(params), {"w": jnp.ones(2)})
    measured = effective.measure(rule, hyper, state, {"w": jnp.ones(2)}, params, after)["w"].angular_lr
    assert float(measured) == pytest.approx(angular_lr(rule, hyper, 5.0), rel=1e-6)
    with pytest.raises(ValueError, match="no direction"):
        angular_lr(rule, hyper, 0.0)


@given(factor=st.floats(0.01, 100), lr=st.floats(1e-4, 1), decay=st.floats(1e-4, 1))
def test_numbers_for_length_keep_what_directions_feel(factor, lr, decay):
    for rule in (rules.sgd(), rules.adam(), rules.adamw()):
        hyper = rule.hyper(lr=lr, weight_decay=decay)
        new = numbers_for_length(rule, hyper, factor)
        assert angular_lr(rule, new, factor * 3) == pytest.approx(angular_lr(rule, hyper, 3), rel=1e-12)
        if rule is not rules.adam():  # coupled decay of Adam is divided by the gradient's size
            assert new.lr * new.weight_decay == pytest.approx(lr * decay, rel=1e-12)


@given(lr=st.floats(1e-3, 1), rate=st.floats(1e-3, 0.99), momentum=st.floats(0, 0.95))
def test_sgd_schedule_grows_by_the_root_squared(lr, rate, momentum):
    """ρ solves the quadratic, and the run without decay has the same limits as the printed special cases."""
    decay = rate * (1 - math.sqrt(momentum)) ** 2 / lr
    schedule = sgd_schedule(lr, decay, 5, momentum)
    rho = schedule.rho
    assert rho**2 - (1 + momentum - lr * decay) * rho + momentum == pytest.approx(0, abs=1e-12)
    assert math.sqrt(momentum) - 1e-9 <= rho < 1
    assert schedule.lr == pytest.approx(lr * rho ** (-2.0 * np.arange(5) - 1), rel=1e-9)
    if momentum == 0:
        assert rho == pytest.approx(1 - lr * decay)


def test_decay_that_makes_a_weight_oscillate_has_no_schedule():
    with pytest.raises(NoLaw, match="oscillate"):
        sgd_schedule(0.1, 1.0, 5, momentum=0.9)
    with pytest.raises(NoLaw, match="lower one of the three"):
        buffer_seed(np.ones(2), 0.1, 1.0, 0.9)
    assert adamw_schedule(0.1, 0.0, 0.9, 0.99, 3).lr.tolist() == [0.1] * 3


def test_equilibrium_at_first_order_is_what_papers_print():
    """√(2ηλ/(1+μ)) and √(2ηλ(1−β₁)/(1+β₁)), and lengths (ηG²/2λ)^¼ and √(ηC/2λ)."""
    sgd, adamw = rules.sgd(), rules.adamw()
    heavy = sgd.hyper(lr=1e-3, momentum=0.9, weight_decay=1e-3)
    plain = sgd.hyper(lr=1e-3, weight_decay=1e-3)
    decoupled = adamw.hyper(lr=1e-4, weight_decay=0.1)
    assert rotation_per_step(sgd, heavy) == pytest.approx(math.sqrt(2e-6 / 1.9), rel=1e-5)
    assert rotation_per_step(adamw, decoupled) == pytest.approx(math.sqrt(2e-5 * 0.1 / 1.9), rel=1e-4)
    assert equilibrium(sgd, plain, gradient_norm=3.0).norm == pytest.approx((1e-3 * 9 / 2e-3) ** 0.25, rel=1e-5)
    assert equilibrium(sgd, heavy, gradient_norm=3.0).norm == pytest.approx((1e-3 * 9 / 2e-4) ** 0.25, rel=1e-5)
    assert equilibrium(adamw, decoupled, coordinates=100).norm == pytest.approx(math.sqrt(1e-4 * 100 / 0.2), rel=1e-3)


def test_dampening_acts_on_the_rotation_as_a_smaller_lr():
    sgd = rules.sgd()
    damped = sgd.hyper(lr=0.1, momentum=0.5, dampening=0.5, weight_decay=0.1)
    assert rotation_per_step(sgd, damped) == rotation_per_step(sgd, damped._replace(lr=0.05, dampening=0.0))
    unused = sgd.hyper(lr=0.1, dampening=0.5, weight_decay=0.1)
    assert rotation_per_step(sgd, unused) == rotation_per_step(sgd, unused._replace(dampening=0.0))


@pytest.mark.parametrize(
    ("rule", "numbers", "reason"),
    [
        (rules.sgd(), {}, "without weight decay has no equilibrium"),
        (rules.sgd(nesterov=True), {"momentum": 0.9, "weight_decay": 0.1}, "not nesterov"),
        (rules.adam(), {"weight_decay": 0.1}, "for adamw"),
        (rules.lion(), {"weight_decay": 0.1}, "for adamw"),
    ],
)
def test_rules_without_a_known_equilibrium_say_so(rule, numbers, reason):
    with pytest.raises(NoLaw, match=reason):
        equilibrium(rule, rule.hyper(**numbers))


def test_rotation_needs_no_length():
    """Runs on one circle at two lengths and lrs with the same lr·weight_decay turn by the same angle at equilibrium."""
    from lrtheory.laws.invariance.balance import angle_potential
    from lrtheory.laws.trajectory import descend

    sgd, angles = rules.sgd(), []
    for lr, size in ((0.1, 1.0), (0.4, 7.0)):
        hyper = sgd.hyper(lr=lr, weight_decay=0.01 / lr)
        params = descend(sgd, hyper, angle_potential, np.array([1.0, 0.0]), 2000, size).params[-2:]
        with jax.enable_x64(True):
            angles.append(float(np.arccos(params[0] @ params[1] / np.prod(np.linalg.norm(params, axis=1)))))
    assert angles == pytest.approx([math.acos(0.99)] * 2, rel=1e-9)
