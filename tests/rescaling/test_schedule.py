"""Schedules of another length: the same curve on a longer axis, by name of every number."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax
import numpy as np
import pytest

from lrtheory import rescale_schedule, schedules
from lrtheory.schedules import Schedule
from lrtheory.schedules._schedule import level, pytree

LONG = 4
MADE = {
    "constant": schedules.constant(lr=0.5, factor=0.25, total_iters=6),
    "linear": schedules.linear(lr=0.5, start_factor=0.25, end_factor=0.75, total_iters=6),
    "exponential": schedules.exponential(lr=0.5, gamma=0.9),
    "step": schedules.step(lr=0.5, step_size=3, gamma=0.5),
    "multi_step": schedules.multi_step(lr=0.5, milestones=[2, 7], gamma=0.5),
    "polynomial": schedules.polynomial(lr=0.5, total_iters=8, power=2.0),
    "cosine_annealing": schedules.cosine_annealing(lr=0.5, T_max=9, eta_min=0.1),
    "warm_restarts": schedules.cosine_annealing_warm_restarts(lr=0.5, T_0=3, T_mult=2, eta_min=0.1),
    "cyclic": schedules.cyclic(base_lr=0.1, max_lr=0.5, step_size_up=3, mode="exp_range", gamma=0.9),
    "linear_with_warmup": schedules.linear_with_warmup(lr=0.5, warmup_steps=3, total_steps=12),
    "constant_with_warmup": schedules.constant_with_warmup(lr=0.5, warmup_steps=3),
    "polynomial_with_warmup": schedules.polynomial_with_warmup(lr=0.5, warmup_steps=3, total_steps=12, lr_end=0.1),
    "cosine_with_warmup": schedules.cosine_with_warmup(lr=0.5, warmup_steps=3, total_steps=12),
    "restarts_with_warmup": schedules.cosine_with_restarts_and_warmup(
        lr=0.5, warmup_steps=3, total_steps=12, num_cycles=2
    ),
    "inverse_sqrt": schedules.inverse_sqrt(lr=0.5, warmup_steps=3, timescale=5),
    "wsd": schedules.warmup_stable_decay(lr=0.5, warmup_steps=3, stable_steps=4, decay_steps=5),
    "sequential": schedules.sequential(
        schedules=[schedules.constant(lr=0.5, factor=0.5, total_iters=3), schedules.exponential(lr=0.25, gamma=0.9)],
        milestones=[5],
    ),
    "chained": schedules.chained(
        schedules=[schedules.constant(lr=0.5, factor=0.5, total_iters=3), schedules.exponential(lr=0.5, gamma=0.9)]
    ),
}
# These divide by a number of steps less one, so the curve is only the same in the limit.
LESS_ONE = {
    "one_cycle": schedules.one_cycle(max_lr=0.5, total_steps=400),
    "swalr": schedules.swalr(lr=0.5, swa_lr=0.1, anneal_epochs=400),
}
NAMED = {
    "warm_restarts": "cosine_annealing_warm_restarts",
    "restarts_with_warmup": "cosine_with_restarts_and_warmup",
    "wsd": "warmup_stable_decay",
}


@pytest.mark.parametrize("name", MADE)
def test_longer_schedule_is_the_same_curve(name: str) -> None:
    with jax.enable_x64(True):
        before = np.asarray(MADE[name](np.arange(12)))
        after = np.asarray(rescale_schedule(MADE[name], length=LONG, lr=2.0)(LONG * np.arange(12)))
    np.testing.assert_allclose(after, 2 * before, rtol=1e-12, atol=1e-15)
    assert np.ptp(before) > 0


@pytest.mark.parametrize("name", LESS_ONE)
def test_schedules_that_count_less_one_are_near(name: str) -> None:
    """One step of 400 in the length: the steepest part of the curve moves by 2·π/2 of that."""
    before = np.asarray(LESS_ONE[name](np.arange(399)))
    after = np.asarray(rescale_schedule(LESS_ONE[name], length=LONG)(LONG * np.arange(399)))
    assert np.max(np.abs(after - before)) < np.pi / 400 * np.ptp(before) / 0.3


def test_every_number_of_every_schedule_is_declared() -> None:
    """As a lr, a count of steps, a factor of every step, or a pure number; made of schedules alone are the compositions."""
    for name in sorted(set(schedules.names()) - {"plateau", "multiplicative", "lambda_lr"}):
        made = of(name)
        numbers = schedules.declared(made)
        assert {number.units for number in numbers.values()} <= {"lr", "steps", "per step", "1"}
        left = {f.name for f in dataclasses.fields(made) if not f.metadata.get("static")} - set(numbers)
        assert left <= {"schedules"}, name
        parameters = inspect.signature(schedules.get(name)).parameters
        assert {f.name for f in dataclasses.fields(made)} == set(parameters)
        for key, number in numbers.items():
            assert f"\n{key} : {number.kind}" in schedules.get(name).__doc__


def of(name: str):  # type: ignore[no-untyped-def]
    """One schedule of that name."""
    return next(s for key, s in {**MADE, **LESS_ONE}.items() if NAMED.get(key, key) == name)


def test_undeclared_number_of_a_schedule_is_refused() -> None:
    @pytree
    class Mine(Schedule):
        lr: Any = level()
        speed: Any = 1.0

    with pytest.raises(TypeError, match="speed is a number that rescale_schedule does not know as a level or a count"):
        rescale_schedule(Mine(lr=0.5), length=2)


def test_schedule_that_is_followed_is_rescaled_with_the_one_that_follows_it() -> None:
    followed = schedules.exponential(lr=0.5, gamma=0.9)
    whole = schedules.swalr(lr=followed, swa_lr=0.1, anneal_epochs=400, start=100, anneal_strategy="linear")
    before = np.asarray(whole(np.arange(499)))
    after = np.asarray(rescale_schedule(whole, length=LONG, lr=2.0)(LONG * np.arange(499)))
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)


def test_what_cannot_be_read_or_vanishes_is_refused() -> None:
    with pytest.raises(ValueError, match="Nearest"):
        rescale_schedule(schedules.lambda_lr(lr=0.5, function=lambda t: 1 / (1 + t)), length=2)
    with pytest.raises(ValueError, match=r"warmup_steps=3 at length=0.1 is less than half a step. Nearest: .* 0\.167"):
        rescale_schedule(MADE["linear_with_warmup"], length=0.1)
    with pytest.raises(ValueError, match="length=0"):
        rescale_schedule(MADE["step"], length=0)
    with pytest.raises(TypeError, match="no schedule"):
        rescale_schedule("cosine", length=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1e10, 1e300])
@pytest.mark.parametrize(
    "schedule",
    [
        schedules.cosine_annealing(lr=0.1, T_max=100),
        schedules.multi_step(lr=0.1, milestones=(3, 8)),
        schedules.linear(lr=0.1),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_length_beyond_all_counts_is_refused(schedule, length: float) -> None:  # type: ignore[no-untyped-def]
    """C16."""
    with pytest.raises(ValueError, match=r"is more than 2147483647 steps. Nearest: a length of at most"):
        rescale_schedule(schedule, length=length)


def test_a_one_cycle_of_so_few_steps_that_its_peak_is_lost_is_refused() -> None:
    with pytest.raises(ValueError, match=r"largest lr would be 0.004 and not .*Nearest: a length of at least 2"):
        rescale_schedule(schedules.one_cycle(max_lr=0.1, total_steps=10), length=0.25)
    assert float(rescale_schedule(schedules.one_cycle(max_lr=0.1, total_steps=40), length=0.25)(3)) > 0.099
