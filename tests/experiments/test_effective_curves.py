"""Experiments (e) and (f)."""

from __future__ import annotations

import pytest

from parity.experiments import effective_curves
from parity.experiments.effective_curves import EPOCHS, STEPS_PER_EPOCH


@pytest.fixture(scope="module")
def adam():
    return effective_curves.measure_adam(seed=3)


@pytest.fixture(scope="module")
def schedule():
    return effective_curves.measure_schedule(seed=3)


def test_effective_lr_is_that_of_torchs_own_state(adam):
    assert adam.disagreement < 1e-12
    ours, theirs = adam.curves
    assert ours["coordinates"].keys() == theirs["coordinates"].keys()
    assert len(ours["coordinates"]) == 11


def test_nominal_lr_stays_while_every_effective_lr_moves(adam):
    for curves in adam.curves:
        assert set(curves["nominal_lr"]) == {0.01}
        for curve in curves["coordinates"].values():
            assert max(curve) > 1.1 * min(curve)


def test_schedule_is_stepped_once_an_epoch(schedule):
    assert [(c["rule"], c["framework"]) for c in schedule.curves] == [
        (rule, framework) for rule in ("sgd", "adam") for framework in ("jax", "torch")
    ]
    for curves in schedule.curves:
        half = EPOCHS * STEPS_PER_EPOCH // 2
        assert curves["nominal_lr"] == [0.1] * half + [0.05] * half
        assert len(curves["step_norm"]) == 2 * half


def test_effective_lr_of_sgd_is_the_nominal_one(schedule):
    for curves in schedule.curves[:2]:
        for curve in curves["coordinates"].values():
            assert curve == curves["nominal_lr"]


def test_steps_halve_at_once_and_not_over_the_epochs(schedule):
    for halving in schedule.halvings:
        assert halving.at_once == pytest.approx(0.5, abs=1e-12)
        assert halving.before < 0.4
        assert 0.3 < halving.later < 0.8


def test_experiment_is_determined_by_its_seed(adam):
    again, other = effective_curves.measure_adam(seed=3), effective_curves.measure_adam(seed=4)
    assert again == adam
    assert other.curves[0]["step_norm"] != adam.curves[0]["step_norm"]
