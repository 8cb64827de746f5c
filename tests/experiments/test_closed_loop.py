"""Both frameworks, each with its own gradients, rule and schedule, stay together; a mistake on one side is seen."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from lrtheory import rules
from lrtheory.rules import Rule
from lrtheory.rules._terms import average_of_squares, lerp, one_minus_power
from parity import LrSchedule
from parity.experiments.digits_training import UNOBSERVED, Planned, measure_run, observe_layers
from parity.training import (
    BEYOND_ROUNDING,
    NORMALISED,
    Mlp,
    Problem,
    Setup,
    Trained,
    distance,
    load_digits,
    train_jax,
    train_torch,
)

STEPS = 60

ROUNDING = 1e-12
"""Of the travel: empirical, a hundred times what was seen over 300 steps and four seeds."""

COSINE = LrSchedule("cosine_annealing", {"T_max": STEPS})
ONE_CYCLE = LrSchedule("one_cycle", {"total_steps": STEPS})
SGD = {"lr": 0.05, "momentum": 0.9}

SETUPS = {
    "sgd momentum": Setup("sgd", rules.sgd(), SGD),
    "sgd momentum, one-cycle": Setup("sgd", rules.sgd(), SGD, ONE_CYCLE),
    "sgd dampening": Setup("sgd", rules.sgd(), {**SGD, "dampening": 0.5}),
    "adam": Setup("adam", rules.adam(), {"lr": 3e-3}),
    "adam, one-cycle": Setup("adam", rules.adam(), {"lr": 3e-3}, ONE_CYCLE),
    "adamw, cosine": Setup("adamw", rules.adamw(), {"lr": 3e-3, "weight_decay": 0.1}, COSINE),
    "rmsprop, cosine": Setup("rmsprop", rules.rmsprop(), {"lr": 1e-3}, COSINE),
}


@pytest.fixture(scope="module")
def small() -> Problem:
    """A model that compiles in a second."""
    return Mlp("small", widths=(64, 8, 10)).on(load_digits(0), seed=0)


@pytest.fixture(scope="module")
def rows(small):
    return small.shuffled(32, STEPS, seed=0)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
def test_frameworks_train_the_same_step_for_step(setup, small, rows):
    ours, theirs = train_jax(small, setup, rows), train_torch(small, setup, rows)
    np.testing.assert_allclose(ours.lr, theirs.lr, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-12)
    assert theirs.loss[-1] < 0.8 * theirs.loss[0]
    apart = distance(theirs, ours)
    assert apart.largest < ROUNDING
    assert apart.first_step is None


def _mutant(rule: Rule, **changes: Any) -> Rule:
    return Rule(dataclasses.replace(rule.array_rule, **changes), rule.options)


def _eps_inside_root(h, p, s, g):
    m, v = lerp(s.m, g, 1 - h.beta1), average_of_squares(s.v, g, h.beta2)
    s = s._replace(t=s.t + 1, m=m, v=v)
    m_hat, v_hat = m / one_minus_power(h.beta1, s.t), v / one_minus_power(h.beta2, s.t)
    return p - h.lr * m_hat / (v_hat + h.eps) ** 0.5, s


def _dampened_from_the_start(h, p, s, g):
    buffer = h.momentum * s.buffer + (1 - h.dampening) * g
    return p - h.lr * buffer, s._replace(t=s.t + 1, buffer=buffer)


MUTANTS = {
    "eps inside the root": ("adam", {"rule": _mutant(rules.adam(), step=_eps_inside_root)}),
    "beta2 of 0.99": ("adam", {"numbers": {"lr": 3e-3, "beta2": 0.99}}),
    "dampening from the first step": ("sgd dampening", {"rule": _mutant(rules.sgd(), step=_dampened_from_the_start)}),
    "coupled decay": ("adamw, cosine", {"rule": rules.adam()}),
    "no schedule": ("rmsprop, cosine", {"schedule": LrSchedule()}),
    "schedule one step longer": (
        "rmsprop, cosine",
        {"schedule": LrSchedule("cosine_annealing", {"T_max": STEPS + 1})},
    ),
    "nesterov": ("sgd momentum", {"rule": rules.sgd(nesterov=True)}),
}


@pytest.mark.parametrize(("setup", "changes"), MUTANTS.values(), ids=MUTANTS.keys())
def test_comparison_catches_a_mistake_on_one_side(setup, changes, small, rows):
    right = SETUPS[setup]
    apart = distance(train_torch(small, right, rows), train_jax(small, dataclasses.replace(right, **changes), rows))
    assert apart.largest > 10 * BEYOND_ROUNDING
    assert apart.first_step is not None


def test_comparison_catches_a_schedule_that_is_off_by_one(small, rows, monkeypatch):
    setup = SETUPS["adamw, cosine"]
    right = train_torch(small, setup, rows)
    hypers = Setup.hypers
    monkeypatch.setattr(Setup, "hypers", lambda self, steps: _shifted(hypers(self, steps + 1)))
    assert distance(right, train_jax(small, setup, rows)).first_step == 1


def _shifted(hypers: Any) -> Any:
    return type(hypers)(*(values[1:] for values in hypers))


def test_comparison_catches_a_momentum_that_is_not_cycled(small, rows, monkeypatch):
    setup = SETUPS["sgd momentum, one-cycle"]
    right = train_torch(small, setup, rows)
    hypers = Setup.hypers
    monkeypatch.setattr(
        Setup, "hypers", lambda self, n: (h := hypers(self, n))._replace(momentum=np.full(n, h.momentum[0]))
    )
    assert distance(right, train_jax(small, setup, rows)).first_step == 2


def test_observing_does_not_change_the_trajectory(small, rows):
    setup = SETUPS["adam"]
    unobserved = train_jax(small, setup, rows)
    observed = train_jax(small, setup, rows, observe=observe_layers, recorded=[1, 7, STEPS])
    for name, values in unobserved.params.items():
        np.testing.assert_array_equal(values, observed.params[name])
    assert observed.seen["output.weight"]["q50"].shape == (3,)
    assert train_jax(small, setup, rows, **UNOBSERVED).seen["output.weight"]["q50"].shape == (0,)


def test_float32_agrees_less_than_float64(small, rows):
    setup = SETUPS["sgd momentum"]
    apart = distance(*(train(small, setup, rows, dtype="float32") for train in (train_torch, train_jax)))
    assert ROUNDING < apart.largest < 1e-4


def test_loss_scale_multiplies_the_gradient_and_nothing_else(small, rows):
    setup = SETUPS["sgd momentum"]
    scaled = dataclasses.replace(setup, numbers={**SGD, "lr": SGD["lr"] / 8})
    for train in (train_jax, train_torch):
        assert distance(train(small, setup, rows), train(small, scaled, rows, loss_scale=8.0)).largest == 0


def test_run_on_the_normalised_model_agrees_over_300_steps():
    found = measure_run(Planned(NORMALISED, SETUPS["adam"]), seed=1)
    assert found["steps"] == 300
    assert found["first_difference_step"] is None
    assert found["largest_difference"] < ROUNDING
    assert found["accuracy_jax"] == pytest.approx(found["accuracy_torch"], abs=1e-6)
    assert found["accuracy_jax"] > 0.9
    assert [layer["name"] for layer in found["layers"]] == list(NORMALISED.initial(1))


def _trajectory(values: list[float]) -> Trained:
    return Trained(np.zeros(len(values) - 1), np.zeros(len(values) - 1), {"w": np.array(values)[:, None]})


def test_distance_is_over_the_travel_and_names_the_first_step():
    a, b = _trajectory([1.0, 2.0, 3.0, 5.0]), _trajectory([1.0, 2.0, 3.0 + 4e-6, 5.0])
    assert distance(a, b).largest == pytest.approx(1e-6)
    assert distance(a, b).first_step == 2
    assert distance(a, b, beyond=1e-3).first_step is None


def test_distance_of_a_run_that_is_not_a_number_is_infinite():
    assert distance(_trajectory([1.0, 2.0]), _trajectory([1.0, np.nan])).largest == np.inf


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [([1.0, 1.0], [1.0, 2.0], "never moved"), ([1.0, 2.0], [1.0, 2.0, 3.0], "different parameters or lengths")],
    ids=["a run that stands still", "runs of unequal length"],
)
def test_distance_refuses_what_could_only_pass_vacuously(a, b, message):
    with pytest.raises(ValueError, match=message):
        distance(_trajectory(a), _trajectory(b))


def test_torch_threads_are_given_back(small, rows):
    before = torch.get_num_threads()
    train_torch(small, SETUPS["adam"], rows[:2])
    assert torch.get_num_threads() == before
