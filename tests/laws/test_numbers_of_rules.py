"""Gain, steady effective lr, decay time scale and largest step: for every rule a number that its runs confirm, or a reason."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrtheory import rules, wrappers
from lrtheory.laws.bounds import (
    adam_bound,
    adamax_bound,
    centered_rmsprop_bound,
    largest_step,
    rmsprop_bound,
    singular_value_band,
)
from lrtheory.laws.momentum import (
    decay_time_scale,
    gain,
    impulse_response,
    smallest_correction,
    steady_effective_lr,
    unnormalised_steps,
)
from lrtheory.laws.trajectory import replay
from lrtheory.theory import NoLaw

FORMULAS = {
    "gain": gain,
    "steady": lambda rule, hyper: steady_effective_lr(rule, hyper, 0.5),
    "decay": decay_time_scale,
    "largest": largest_step,
}


def number_or_reason(formula: Callable[..., float], rule: rules.Rule) -> float | str:
    try:
        return formula(rule, rule.hyper())
    except NoLaw as reason:
        return str(reason)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
@pytest.mark.parametrize("name", rules.names())
def test_every_rule_has_a_number_or_a_reason(name, formula):
    rule = rules.get(name)()
    found = number_or_reason(formula, rule)
    if isinstance(found, float):
        assert found >= 0
    else:
        assert repr(rule) in found
        assert len(found) > len(repr(rule)) + 40


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
def test_what_is_no_rule_or_has_other_numbers_is_refused(formula):
    with pytest.raises(TypeError, match="ask for the rule inside"):
        formula(wrappers.clip_by_value(rules.sgd()), rules.sgd().hyper())
    with pytest.raises(TypeError, match="takes SGDHyper"):
        formula(rules.sgd(), rules.adam().hyper())
    with pytest.raises(TypeError, match=r"lr has shape \(2,\)"):
        formula(rules.sgd(), rules.sgd().hyper(lr=np.ones(2)))


# Those that the catalogue's own check leaves out; adadelta takes the longer to settle the larger g²/eps is.
@pytest.mark.parametrize(
    ("name", "options", "numbers", "bound"),
    [
        ("nadam", {}, {"beta1": 0.5, "beta2": 0.8, "momentum_decay": 1.0}, 1e-4),  # μ_t settles as 0.96^t
        ("adan", {}, {"beta1": 0.7, "beta2": 0.6, "beta3": 0.8, "weight_decay": 0.3, "eps": 0.1}, 1e-12),
        ("adan", {"proximal": False}, {"beta1": 0.7, "beta2": 0.6, "beta3": 0.8, "eps_root": 0.2}, 1e-12),
        ("sparse_adam", {}, {"beta1": 0.7, "beta2": 0.8, "eps": 0.1}, 1e-12),
        ("schedule_free_adamw", {}, {"beta2": 0.8, "eps": 0.1}, 1e-12),
        ("adabelief", {"nesterov": True}, {"beta1": 0.5, "beta2": 0.8, "eps_root": 0.01}, 1e-12),
        ("adadelta", {}, {"rho": 0.5, "eps": 0.5}, 1e-12),
        ("rmsprop", {"centered": True}, {"alpha": 0.7, "momentum": 0.5, "eps": 0.1}, 1e-6),
        ("radam", {}, {"beta2": 0.6}, 1e-12),
        ("asgd", {}, {"lambd": 0.0}, 1e-12),
        ("signum", {}, {}, 1e-10),  # 0.9^250
    ],
)
def test_effective_lr_settles_where_it_says(name, options, numbers, bound):
    rule = rules.get(name)(**options)
    hyper = rule.hyper(lr=0.1, **numbers)
    g = np.array([0.7, -0.05])
    settled = replay(rule, hyper, np.tile(g, (250, 1)), np.ones(2)).effective_lr[-1]
    np.testing.assert_allclose(settled, [steady_effective_lr(rule, hyper, abs(x)) for x in g], rtol=bound)


@pytest.mark.parametrize("nesterov", [False, True])
def test_lars_gains_what_its_buffer_sums(nesterov):
    """Its factor follows ‖p‖/‖g‖, so that a run with a tiny lr, whose ‖p‖ hardly changes, shows the buffer alone."""
    lars = rules.lars(nesterov=nesterov)
    hyper = lars.hyper(lr=1e-6, momentum=0.8, trust_coefficient=1.0)
    run = replay(lars, hyper, np.ones((250, 2)), np.ones(2))
    assert run.effective_lr[-1, 0] / hyper.lr == pytest.approx(gain(lars, hyper), rel=1e-2)


DECOUPLED = {
    "nadam": {"decoupled": True},
    "radam": {"decoupled": True},
    "signum": {},
    "adafactor": {},
    "muon": {},
    "adan": {"proximal": False},
    "asgd": {},
}


@pytest.mark.parametrize("name", DECOUPLED)
def test_decoupled_decay_removes_what_its_time_scale_says(name):
    rule = rules.get(name)(**DECOUPLED[name])
    numbers = {"lambd": 0.3, "alpha": 0.0} if name == "asgd" else {"weight_decay": 0.3}
    hyper, params = rule.hyper(lr=0.1, **numbers), np.full((2, 2), 2.0)
    with jax.enable_x64(True):
        state = jax.jit(rule.step)(hyper, params, rule.init(params), np.ones((2, 2)))[1]
        kept = 1 - rule.decay(hyper, params, state, np.ones((2, 2))) / params
    assert -1 / np.log(kept) == pytest.approx(decay_time_scale(rule, hyper), rel=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_dampening_plays_no_part_without_momentum(momentum):
    sgd = rules.sgd()
    assert gain(sgd, sgd.hyper(momentum=momentum, dampening=0.5)) == pytest.approx(1.0)
    assert gain(rules.sgd(nesterov=True), rules.sgd(nesterov=True).hyper(momentum=0.9)) == pytest.approx(10)


def test_numbers_at_the_edge():
    sgd = rules.sgd()
    with pytest.raises(NoLaw, match="grows without bound"):
        gain(sgd, sgd.hyper(momentum=1.0))
    with pytest.raises(ValueError, match="gradient=0"):
        steady_effective_lr(sgd, sgd.hyper(), 0.0)
    adam = rules.adam()
    with pytest.raises(ValueError, match="t=0"):
        largest_step(adam, adam.hyper(), 0)
    assert decay_time_scale(sgd, sgd.hyper()) == math.inf
    assert (
        steady_effective_lr(rules.rmsprop(centered=True), rules.rmsprop(centered=True).hyper(eps=0.0), 1.0) == math.inf
    )
    assert impulse_response(sgd, sgd.hyper(lr=0.5), np.arange(3)).tolist() == [0.5, 0, 0]
    assert unnormalised_steps(2 / 3) == math.inf
    assert unnormalised_steps(0.999) == 5
    assert unnormalised_steps(0.999, threshold=4) == 4
    assert smallest_correction(0.999, 0.9) == (math.inf, 1.0)
    with pytest.raises(ValueError, match="smallest=0"):
        singular_value_band(0.0)


def test_familiar_figures():
    adam, rmsprop, lion = rules.adam(), rules.rmsprop(), rules.lion()
    assert largest_step(adam, adam.hyper(lr=1e-3)) == pytest.approx(7.27e-3, rel=1e-3)
    assert largest_step(adam, adam.hyper(lr=1e-3), 1) == pytest.approx(1e-3)
    assert largest_step(rmsprop, rmsprop.hyper(lr=1e-2)) == pytest.approx(0.1)
    assert largest_step(rmsprop, rmsprop.hyper(lr=1e-2, momentum=0.9)) == pytest.approx(1.0)
    assert largest_step(lion, lion.hyper(lr=1e-4)) == 1e-4
    t, factor = smallest_correction(0.9, 0.999)
    assert round(t) == 12
    assert factor == pytest.approx(0.15224, rel=1e-4)


@given(
    beta1=st.floats(0.0, 0.999),
    beta2=st.floats(0.01, 0.9999),
    steps=st.lists(st.integers(1, 3000), min_size=2, max_size=6),
)
@settings(max_examples=200)
def test_bounds_grow_to_the_bound_on_all_steps(beta1, beta2, steps):
    """The bound on all steps is the supremum: bounds of single steps rise to it and never pass it."""
    for bound in (adam_bound, adamax_bound):
        values = [bound(beta1, beta2, t) for t in sorted(steps)]
        limit = bound(beta1, beta2)
        assert all(b >= a * (1 - 1e-12) for a, b in itertools.pairwise(values))
        assert values[-1] <= limit * (1 + 1e-12)
        assert bound(beta1, beta2, 1) == pytest.approx(1.0)


@given(beta1=st.floats(0.05, 0.99), beta2=st.floats(0.05, 0.999), t=st.integers(1, 40))
def test_adam_bound_agrees_with_forty_digits(beta1, beta2, t):
    import mpmath

    with mpmath.workdps(40):
        b1, b2 = mpmath.mpf(beta1), mpmath.mpf(beta2)
        squares = [
            ((1 - b1) * b1 ** (t - s) / (1 - b1**t)) ** 2 / ((1 - b2) * b2 ** (t - s) / (1 - b2**t))
            for s in range(1, t + 1)
        ]
        exact = float(mpmath.sqrt(mpmath.fsum(squares)))
    assert adam_bound(beta1, beta2, t) == pytest.approx(exact, rel=1e-11)


def test_bounds_without_end():
    assert adam_bound(0.99, 0.9) == math.inf
    assert adam_bound(0.9, 0.81) == math.inf  # q = 1: the sum grows as √t
    assert adam_bound(0.9, 0.81, 100) == pytest.approx(0.1 / 0.19**0.5 * 10, rel=1e-4)
    assert adamax_bound(0.9, 0.9) == math.inf
    assert centered_rmsprop_bound(0.9) == math.inf
    assert rmsprop_bound(1.0) == math.inf
    assert adam_bound(0.0, 0.0) == 1.0
    assert adam_bound(0.5, 0.0, 2) == math.inf


def test_amsgrad_attains_adams_bound():
    rule = rules.adam(amsgrad=True)
    t, hyper = 20, rules.adam(amsgrad=True).hyper(lr=0.1, beta1=0.8, beta2=0.95, eps=0.0)
    stream = (0.8 / 0.95) ** np.arange(t - 1, -1, -1.0)
    step = replay(rule, hyper, np.repeat(stream[:, None], 2, axis=1)).steps[-1, 0]
    assert abs(step) == pytest.approx(largest_step(rule, hyper, t), rel=1e-12)
    with pytest.raises(NoLaw, match="not known to be sharp"):
        largest_step(rule, rule.hyper(beta1=0.99, beta2=0.9))


def test_radam_steps_agree_with_forty_digits():
    """The limits on beta2 that the catalogue states, by bisection of ρ in forty digits."""
    import mpmath

    def length(b, t):
        return 2 / (1 - b) - 1 - 2 * t * b**t / (1 - b**t)

    with mpmath.workdps(40):
        for threshold, stated in ((5, 0.8398), (4, 0.7733)):
            limit = mpmath.findroot(lambda b, c=threshold: length(b, c + 1) - c, (0.7, 0.9), solver="bisect")
            assert float(limit) == pytest.approx(stated, abs=5e-5)
            above, below = float(limit) + 1e-6, float(limit) - 1e-6
            assert unnormalised_steps(above, threshold) == threshold
            assert unnormalised_steps(below, threshold) == threshold + 1


def test_warmup_integral_agrees_with_forty_digits():
    import mpmath

    from lrtheory.laws.momentum import warmup_period

    with mpmath.workdps(20):
        integral = mpmath.quad(lambda u: (1 - mpmath.sqrt(1 - u * u / mpmath.expm1(u * u))) * 2 * u, [1e-12, 1, 3, 8])
    assert warmup_period(0.0) == pytest.approx(float(integral), rel=1e-9)


def test_coupled_decay_slows_down_where_roots_are_complex():
    """Beyond the double root the weight oscillates, and its envelope shrinks as the root of momentum."""
    sgd = rules.sgd()
    hyper = sgd.hyper(lr=0.5, momentum=0.81, weight_decay=0.5)
    assert decay_time_scale(sgd, hyper) == pytest.approx(-2 / math.log(0.81))
    with jax.enable_x64(True):
        size = np.abs(replay(sgd, hyper, np.zeros((200, 2)), np.ones(2)).params[:, 0])
    assert math.log(size[:40].max() / size[160:].max()) / 160 == pytest.approx(-math.log(0.81) / 2, rel=0.02)
