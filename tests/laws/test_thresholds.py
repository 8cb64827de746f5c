"""The threshold of a rule with its numbers: for every rule a figure or a reason."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import quadratic, rules
from lrtheory.laws.stability import threshold
from lrtheory.wrappers import average_weights

CASES = [
    (rules.sgd(), {"lr": 0.1, "dampening": 0.5}),
    (rules.sgd(), {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.2}),
    (rules.sgd(nesterov=True), {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2}),
    (rules.rmsprop(), {"momentum": 0.5}),
    (rules.rmsprop(momentum_buffer=False), {}),
    (rules.adagrad(), {}),
    (rules.adam(), {}),
    (rules.adam(amsgrad=True, decoupled=True), {"lr": 0.1, "weight_decay": 0.5}),
    (rules.adamax(), {}),
    (rules.radam(decoupled=True), {"lr": 0.1, "weight_decay": 0.5}),
    (rules.adabelief(), {}),
    (rules.nadam(), {}),
    (rules.nadam(decoupled=True), {"momentum_decay": 0.0, "lr": 0.1, "weight_decay": 0.5}),
    (rules.adan(), {"lr": 0.1, "weight_decay": 0.5}),
    (rules.adan(proximal=False), {"lr": 0.1, "weight_decay": 0.5}),
]


@pytest.mark.parametrize(("rule", "numbers"), CASES, ids=lambda x: repr(x) if isinstance(x, rules.Rule) else "")
def test_threshold_is_where_the_spectral_radius_passes_one(rule: rules.Rule, numbers: dict[str, float]) -> None:
    hyper = rule.hyper(**numbers)
    found = threshold(rule, hyper)
    with jax.enable_x64(True):
        measured = float(quadratic.critical_curvature(quadratic.linear_step(rule, hyper), 1 / hyper.lr))
    assert found.curvature == pytest.approx(measured, rel=1e-9)
    assert ("preconditioned" in found.of) == (rule.name != "sgd")


def test_coupled_decay_is_preconditioned_like_the_curvature() -> None:
    """P(H + wd) is what must stay under the threshold: here P = 1/2, so h must stay under 2·threshold − wd."""
    rule = rules.adam()
    hyper = rule.hyper(lr=0.1, weight_decay=30.0)
    found = threshold(rule, hyper)
    assert found.curvature is not None
    assert "H + weight_decay" in found.reason
    with jax.enable_x64(True):
        measured = float(quadratic.critical_curvature(quadratic.linear_step(rule, hyper, 2.0), 1 / hyper.lr))
    assert 2 * found.curvature - 30 == pytest.approx(measured, rel=1e-9)


def test_every_rule_has_a_threshold_or_a_reason() -> None:
    for name in rules.names():
        rule = rules.get(name)()
        found = threshold(rule, rule.hyper())
        linear = isinstance(rule.facts.memory, tuple)
        assert (found.curvature is not None) == (linear or name.startswith("schedule_free")), name
        assert found.reason


@pytest.mark.parametrize(
    ("rule", "numbers", "reason"),
    [
        (rules.sgd(), {"momentum": 1.0}, "nothing is forgotten"),
        (rules.sgd(), {"momentum": 0.5, "dampening": 1.0}, "do not descend"),
        (rules.sgd(), {"lr": 0.0}, "nothing moves"),
        (rules.adagrad(), {"lr_decay": 0.1}, "its lr falls"),
        (rules.lion(), {}, "sign"),
    ],
)
def test_where_there_is_none_it_says_why(rule: rules.Rule, numbers: dict[str, float], reason: str) -> None:
    found = threshold(rule, rule.hyper(**numbers))
    assert found.curvature is None
    assert reason in found.reason


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="is no Rule"):
        threshold(average_weights(rules.sgd()), rules.sgd().hyper())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes SGDHyper"):
        threshold(rules.sgd(), rules.adam().hyper())


def test_threshold_of_nadam_moves_and_a_run_turns_round_where_it_passes() -> None:
    """A run over the first threshold grows until the rising momentum makes room for its curvature, then shrinks.

    The turn is at the step where threshold(step) passes h, to within the few steps that the run needs to follow.
    """
    rule, h, eps, steps = rules.nadam(), 5.0, 0.5, 600
    hyper = rule.hyper(lr=1.0, momentum_decay=0.05, eps=eps)
    thresholds = np.array([threshold(rule, hyper, step=t).curvature for t in range(1, steps + 1)])
    predicted = 1 + int(np.argmax(thresholds > h))
    with jax.enable_x64(True):
        maps = quadratic.linear_steps(rule, hyper._replace(lr=np.ones(steps)))
        radius = np.asarray(quadratic.spectral_radius(jax.vmap(lambda m: m.transition(h))(maps)))
        at = np.array([150, 300, 500])
        late = jax.tree.map(lambda x: x[at], maps)  # long after the product of momenta is gone
        measured = np.asarray(jax.vmap(quadratic.critical_curvature, in_axes=(0, None))(late, 1.0))
        np.testing.assert_allclose(thresholds[at], measured, rtol=1e-9)
        step, p = jax.jit(rule.step), jnp.asarray(1e-150)
        state, sizes = rule.init(p), []
        for _ in range(steps):
            p, state = step(hyper, p, state, h * eps * p)
            sizes.append(abs(float(p)))
    assert 200 < predicted < 400
    assert 1 + int(np.argmax((radius < 1) & (np.arange(steps) > 50))) == predicted
    assert abs(1 + int(np.argmax(sizes)) - predicted) <= 3
    assert sizes[-1] < 1e-3 * max(sizes)
