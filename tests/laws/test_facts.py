"""Facts on the rule: closed forms agree with the rule's own linear step under every option, and a rule that says nothing is answered."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import quadratic, rescale, rules
from lrtheory.explaining.facts import facts
from lrtheory.explaining.trained import effective_lrs
from lrtheory.laws.trajectory import replay
from lrtheory.numbers import NONNEGATIVE, Number, hyperparameters
from lrtheory.rules import COUNT, ArrayRule, Rule, Slot, state
from lrtheory.rules.facts import Facts
from lrtheory.theory import NoLaw
from lrtheory.theory.bounds import largest_step
from lrtheory.theory.momentum import decay_time_scale, gain, impulse_response, measured_gain, steady_effective_lr
from lrtheory.theory.stability import threshold


def _variants() -> list[Rule]:
    """Every rule with a linear step under every set of its switches, but for maximize, which turns the loss over."""
    found = {}
    for name in rules.names():
        factory = rules.get(name)
        switches = [
            n
            for n, p in inspect.signature(factory).parameters.items()
            if isinstance(p.default, bool) and n != "maximize"
        ]
        for values in itertools.product((False, True), repeat=len(switches)):
            rule = factory(**dict(zip(switches, values, strict=True)))
            if not isinstance(rule.facts.memory, str):
                found[repr(rule)] = rule
    return list(found.values())


def _numbers(rule: Rule) -> Any:
    drawn = {"lr": 0.1, "momentum": 0.6, "beta1": 0.7, "weight_decay": 0.4, "momentum_decay": 1e6}
    if not rule.options.get("nesterov"):
        drawn["dampening"] = 0.3
    off = rule.array_rule.defaults
    return rule.hyper(**{n: v for n, v in drawn.items() if n in rule.Hyper._fields and off.get(n, 0) is not None})


@pytest.mark.parametrize("rule", _variants(), ids=repr)
def test_closed_forms_are_those_of_the_linear_step_under_every_option(rule: Rule) -> None:
    """Truth 1: adabelief(nesterov=True) was given the threshold of adabelief."""
    hyper = _numbers(rule)
    coupled = rule.array_rule.penalty is not None
    with jax.enable_x64(True):
        step = quadratic.linear_step(rule, hyper)
        measured = float(quadratic.critical_curvature(step, 1 / hyper.lr))
        kept = float(quadratic.spectral_radius(step.M))
    found = threshold(rule, hyper)
    assert found.curvature is not None
    # Of preconditioned rules the threshold is that of P(H + weight_decay), with P = 1 here.
    expected = measured + (hyper.weight_decay if coupled and rule.facts.divides_by != "nothing" else 0.0)
    assert found.curvature == pytest.approx(expected, rel=1e-9)
    assert gain(rule, hyper) == pytest.approx(measured_gain(rule, hyper), rel=1e-9)
    if "weight_decay" in hyper._fields and (not coupled or rule.facts.divides_by == "nothing"):
        assert decay_time_scale(rule, hyper) == pytest.approx(-1 / np.log(kept), rel=1e-9)


def test_nesterov_of_adabelief_is_as_stable_as_truth_1_says() -> None:
    rule = rules.adabelief(nesterov=True)
    assert threshold(rule, rule.hyper(lr=1e-3)).curvature == pytest.approx(13571.43, rel=1e-6)


@pytest.mark.parametrize("rule", [rules.adam(), rules.nadam(), rules.rmsprop(), rules.adan()], ids=repr)
def test_an_impulse_sums_to_the_gain(rule: Rule) -> None:
    numbers = {"momentum": 0.6} if "momentum" in rule.Hyper._fields else {}
    hyper = rule.hyper(lr=0.5, **numbers)
    assert impulse_response(rule, hyper, np.arange(2000)).sum() == pytest.approx(0.5 * gain(rule, hyper), rel=1e-6)


def test_the_first_gradient_of_adam_counts_three_times() -> None:
    """Truth 8: bias corrections amplify it while it is nearly alone; the rest of the run is held to the rule itself."""
    adam = rules.adam()
    hyper = adam.hyper(lr=1.0, beta2=0.999, eps=1.0)
    response = impulse_response(adam, hyper, np.arange(250), first=True)
    assert response.sum() == pytest.approx(3.0096, rel=1e-4)
    grads = np.zeros((250, 2))
    grads[0] = 1e-9  # squares far below eps: the preconditioner is held at 1
    np.testing.assert_allclose(replay(adam, hyper, grads).steps[:, 0] / 1e-9, response, rtol=1e-6, atol=1e-12)


def test_nadam_takes_larger_steps_before_its_limit() -> None:
    """Truth 8 gives the limit, 8.4151·lr; at step 1000 the extremal stream attains 13.70."""
    nadam = rules.nadam()
    hyper = nadam.hyper(lr=1.0, eps=0.0)
    assert largest_step(nadam, hyper, 10**6) == pytest.approx(8.415122, rel=1e-6)
    assert largest_step(nadam, hyper) == pytest.approx(14.61, rel=1e-3)
    t, beta1, beta2 = 1000, hyper.beta1, hyper.beta2
    mu = beta1 * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * hyper.momentum_decay))
    of_g, of_m = (1 - mu[t - 1]) / (1 - np.prod(mu[:t])), mu[t] / (1 - np.prod(mu))
    ages = np.arange(t - 1, -1, -1)
    stream = (of_m * (1 - beta1) * beta1**ages + of_g * (ages == 0)) / beta2**ages
    step = replay(nadam, hyper, np.repeat(stream[:, None] + 1e-300, 2, axis=1)).steps[-1, 0]
    assert abs(step) == pytest.approx(largest_step(nadam, hyper, t), rel=1e-9)


@hyperparameters
class _Hyper:
    lr = Number(0.1, NONNEGATIVE, "[param]^2/[loss]")
    pull = Number(0.5)
    weight_decay = Number(0.2, NONNEGATIVE, "[loss]/[param]^2")


@state
class _State:
    t = COUNT
    m = Slot("[loss]/[param]")


def _own(**said: Any) -> Rule:
    """Heavy ball written by a user, whose facts are ``said``."""

    def step(h: Any, p: Any, s: Any, g: Any) -> Any:
        m = h.pull * s.m + g
        return p - h.lr * m - h.lr * h.weight_decay * p, _State(s.t + 1, m)

    return Rule(
        ArrayRule(
            Hyper=_Hyper,
            State=_State,
            step=step,
            effective_lr=lambda h, s: jnp.broadcast_to(h.lr / (1 - h.pull), s.m.shape),
            direction=lambda h, p, s, g: s.m * (1 - h.pull),
            decay=lambda h, p, s, g: h.lr * h.weight_decay * p,
            facts=Facts(**said),
        ).completed("own", False),
        {},
    )


def test_a_rule_that_says_nothing_is_not_known() -> None:
    rule = _own()
    hyper = rule.hyper()
    for ask in (gain, largest_step, lambda r, h: steady_effective_lr(r, h, 1.0)):
        with pytest.raises(NoLaw, match="not known of this rule"):
            ask(rule, hyper)
    assert threshold(rule, hyper).reason == "nothing is known about it"
    assert decay_time_scale(rule, hyper) == pytest.approx(-1 / np.log(0.98))  # read from its decay
    with pytest.raises(ValueError, match="no rule for another batch size is known"):
        rescale(rule, hyper, batch=2)
    assert rescale(rule, hyper, loss=2).hyper.lr == 0.05
    assert effective_lrs(rule, hyper)[1] == "not known of this rule"
    assert {fact.name for fact in facts(rule, hyper)} >= {"gain under momentum", "largest stable curvature"}


def test_what_a_rule_remembers_is_enough_to_derive_the_rest() -> None:
    rule = _own(divides_by="nothing", memory=("m",))
    hyper = rule.hyper()
    assert gain(rule, hyper) == pytest.approx(2.0)
    assert threshold(rule, hyper._replace(weight_decay=0.0)).curvature == pytest.approx(2 * 1.5 / 0.1, rel=1e-9)
    assert impulse_response(rule, hyper, [0, 1]).tolist() == pytest.approx([0.1, 0.05])
    assert rescale(rule, hyper, batch=2).hyper.lr == 0.2
