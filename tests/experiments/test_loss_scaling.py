"""Experiments (a), (b), (c), and the divergence threshold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lrtheory import rules
from parity.experiments import loss_scaling
from parity.experiments.loss_scaling import AS_IS, CORRECTED, LR_DIVIDED, SAME_LR
from parity.training import Setup, distance, linear_problem, train_jax, train_torch

EQUAL = 1e-12
DIFFERENT = 0.1


@pytest.fixture(scope="module")
def runs():
    return loss_scaling.measure_regression(seed=1)


def _distance(runs, rule, variant):
    found = [r["distance"] for r in runs if (r["rule"], r["variant"]) == (rule, variant)]
    assert len(found) == 2  # both frameworks
    return found


def test_dividing_lr_undoes_the_factor_for_sgd_alone(runs):
    assert max(_distance(runs, "sgd", LR_DIVIDED)) < EQUAL
    for rule in ("adam", "rmsprop"):
        assert min(_distance(runs, rule, LR_DIVIDED)) > DIFFERENT


@pytest.mark.parametrize("rule", ["sgd", "adam", "rmsprop"])
def test_corrected_numbers_undo_the_factor(runs, rule):
    assert max(_distance(runs, rule, CORRECTED)) < EQUAL
    assert max(_distance(runs, rule, AS_IS)) == 0


def test_adaptive_rules_with_default_eps_hardly_notice_the_factor(runs):
    assert min(_distance(runs, "sgd", SAME_LR)) > DIFFERENT
    for rule in ("adam", "rmsprop"):
        assert EQUAL < min(_distance(runs, rule, SAME_LR)) <= max(_distance(runs, rule, SAME_LR)) < 1e-4


def test_losses_are_divided_by_alpha_again(runs):
    assert len({r["loss"][0] for r in runs}) == 1
    assert {r["alpha"] for r in runs if r["variant"] != AS_IS} == {loss_scaling.ALPHA}


@pytest.mark.parametrize("train", [train_jax, train_torch], ids=["jax", "torch"])
def test_power_of_two_is_undone_bit_for_bit(train):
    problem = linear_problem(64, seed=0)
    as_is, scaled = ({"lr": 0.01, "eps": eps} for eps in (1e-3, 8e-3))
    runs = [
        train(problem, Setup("rmsprop", rules.rmsprop(), numbers), problem.whole(50), loss_scale=scale)
        for numbers, scale in ((as_is, 1.0), (scaled, 8.0), (as_is, 8.0))
    ]
    assert distance(runs[0], runs[1]).largest == 0
    assert distance(runs[0], runs[2]).largest > 1e-6


@pytest.mark.parametrize("seed", [1, 5])  # with seed 5 a run below the threshold ends on rounding noise
def test_threshold_lies_in_the_bracket_of_both_frameworks(seed):
    for found in loss_scaling.measure_thresholds(seed):
        assert found["largest_converging"] <= found["predicted"] <= found["smallest_diverging"]
        assert found["smallest_diverging"] / found["largest_converging"] - 1 <= loss_scaling.WIDTH


@pytest.mark.parametrize("threshold", [1.3, 2.0, 37.2, 512.5])
def test_bracket_closes_around_the_threshold(threshold):
    converging, diverging = loss_scaling.bracket(lambda alpha: alpha >= threshold, width=1e-6)
    assert converging < threshold <= diverging
    assert diverging / converging - 1 <= 1e-6


def test_bracket_refuses_a_run_that_diverges_as_it_is():
    with pytest.raises(ValueError, match="diverges with the loss as it is"):
        loss_scaling.bracket(lambda alpha: True, width=1e-3)


@pytest.mark.parametrize(("factor", "grows"), [(0.999, False), (1 + 1e-15, False), (1.001, True), (np.inf, True)])
def test_grows_tells_a_slow_growth_from_a_slow_decay(factor, grows):
    problem = linear_problem(32, seed=0)
    run = train_torch(problem, Setup("sgd", rules.sgd(), {"lr": 0.01}), problem.whole(4))
    doctored = dataclasses.replace(run, loss=np.append(0.999 ** np.arange(50.0), factor ** np.arange(50.0)))
    assert loss_scaling.grows(doctored) is grows
