"""Every schedule against torch stepping its own scheduler, in float64."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lrtheory import schedules

from .cases import BY_ID, CASES, Case
from .roundings import OURS, U
from .stepping import assert_follows, closed_form, evaluate, stepped

WITH_CLOSED_FORM = ["constant", "step", "multi-step", "exponential", "linear-up", "linear-down", "polynomial",
                    "cosine", "cosine-to-0"]  # fmt: skip


@pytest.fixture(scope="module")
def references() -> dict[str, np.ndarray]:
    """Torch's lr at every step, stepped once for all tests of this module."""
    return {case.id: stepped(case.torch_scheduler, case.lr, case.steps)["lr"] for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_schedule_follows_torch_stepping(case: Case, references):
    got = evaluate(case.schedule(), np.arange(case.steps + 1))
    assert_follows(got, references[case.id], case.bound(case.numbers, references[case.id]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_comparison_catches_a_schedule_one_step_off(case: Case, references):
    want = references[case.id]
    late = evaluate(case.schedule(), np.maximum(np.arange(case.steps + 1) - 1, 0))
    with pytest.raises(AssertionError, match="first differs"):
        assert_follows(late, want, case.bound(case.numbers, want))


def _numbers_moved() -> list[tuple[Case, str]]:
    """Each number that the lr depends on, to be moved by 1e-9 of itself (a step count by one)."""
    momenta = {"base_momentum", "max_momentum"}
    unused = {("cyclic-triangular", "gamma"), ("cyclic-triangular2", "gamma")}
    return [(case, name) for case in CASES for name in case.numbers
            if name not in momenta and name != "numbers" and (case.id, name) not in unused]  # fmt: skip


@pytest.mark.parametrize(("case", "name"), _numbers_moved(), ids=lambda x: getattr(x, "id", x))
def test_comparison_catches_a_wrong_number(case: Case, name: str, references):
    value, want = case.numbers[name], references[case.id]
    if isinstance(value, list):
        value = [*value[:-1], value[-1] + 1]
    elif isinstance(value, int):
        value = value + 1
    else:
        # A relative 1e-9, as large a thing as the coarsest bound below must still see; from 0 (eta_min) 1e-9 itself.
        value = value * (1 - 1e-9) if value else 1e-9
    wrong = evaluate(case.schedule({**case.numbers, name: value}), np.arange(case.steps + 1))
    with pytest.raises(AssertionError, match="first differs"):
        assert_follows(wrong, want, case.bound(case.numbers, want))


@pytest.mark.parametrize("case_id", ["cosine", "cosine-to-0"])
def test_comparison_catches_a_cosine_without_its_half(case_id: str, references):
    case, want = BY_ID[case_id], references[case_id]
    lr, T, eta = (case.numbers[name] for name in ("lr", "T_max", "eta_min"))
    wrong = eta + (lr - eta) * (1 + np.cos(np.pi * np.arange(want.size) / T))
    with pytest.raises(AssertionError, match="first differs at t=0"):
        assert_follows(wrong, want, case.bound(case.numbers, want))


@pytest.mark.parametrize("case_id", WITH_CLOSED_FORM)
def test_schedule_equals_torchs_closed_form_to_1e_15(case_id: str):
    case = BY_ID[case_id]
    want = closed_form(case.torch_scheduler, case.lr, case.steps)
    got = evaluate(case.schedule(), np.arange(case.steps + 1))
    # torch's forms cancel, and form cos at angles up to 18: relative to the largest lr there, to each lr otherwise.
    cancels = case.name in ("linear", "polynomial", "cosine_annealing")
    scale = np.max(want) if cancels else np.abs(want)
    if case.name == "cosine_annealing":
        angle = np.pi * np.arange(want.size) / case.numbers["T_max"]
        scale = scale * (1 + angle * np.abs(np.sin(angle)))
    assert_follows(got, want, 1e-15 * scale)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("case", [case for case in CASES if case.momentum], ids=lambda case: case.id)
def test_momentum_follows_torch_stepping(case: Case, kind: str):
    want = stepped(case.torch_scheduler, case.lr, case.steps, kind)["momentum"]
    with jax.enable_x64(True):
        got = np.asarray(jax.jit(lambda schedule, t: schedule.momentum(t))(case.schedule(), np.arange(case.steps + 1)))
    assert_follows(got, want, case.bound(case.numbers, want))
    late = np.concatenate([got[:1], got[:-1]])
    with pytest.raises(AssertionError, match="first differs"):
        assert_follows(late, want, case.bound(case.numbers, want))


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations"])
def test_cyclic_takes_a_scale_function(scale_mode: str):
    from torch.optim.lr_scheduler import CyclicLR

    def scale(x):
        return 1 / (1 + x / 8)

    numbers = {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 16, "step_size_down": 48}
    schedule = schedules.cyclic(**numbers, scale_fn=scale, scale_mode=scale_mode)
    want = stepped(lambda o: CyclicLR(o, **numbers, scale_fn=scale, scale_mode=scale_mode), 0.01, 500)["lr"]
    assert_follows(evaluate(schedule, np.arange(501)), want, (OURS + 64) * U * 0.3)


def test_one_cycle_is_nan_where_torch_raises():
    from torch.optim.lr_scheduler import OneCycleLR

    with pytest.raises(ValueError, match="Tried to step 12 times"):
        stepped(lambda o: OneCycleLR(o, max_lr=0.3, total_steps=11), 0.1, 12)
    want = stepped(lambda o: OneCycleLR(o, max_lr=0.3, total_steps=11), 0.1, 11)["lr"]
    got = evaluate(schedules.one_cycle(max_lr=0.3, total_steps=11), np.arange(14))
    assert_follows(got[:12], want, 48 * U * 0.3)
    assert np.isnan(got[12:]).all()


def test_warm_restarts_take_fractions_of_an_epoch():
    from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

    from .stepping import optimizer_of

    optimizer = optimizer_of(0.3)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2)
    epochs = np.arange(0, 40, 0.125)  # exact in binary, so that restarts are met exactly
    want = []
    for epoch in epochs:
        scheduler.step(epoch)
        want.append(optimizer.param_groups[0]["lr"])
    got = evaluate(schedules.cosine_annealing_warm_restarts(lr=0.3, T_0=3, T_mult=2), epochs)
    assert_follows(got, np.asarray(want), 64 * U * 0.3)


def test_sequential_takes_over_at_repeated_milestones_and_at_0():
    from torch.optim import lr_scheduler as torch_schedulers

    for milestones in ([0, 5], [4, 4]):
        want = stepped(
            lambda o, milestones=milestones: torch_schedulers.SequentialLR(
                o,
                [
                    torch_schedulers.ConstantLR(o, factor=0.5, total_iters=3),
                    torch_schedulers.ExponentialLR(o, gamma=0.5),
                    torch_schedulers.StepLR(o, step_size=2, gamma=0.25),
                ],
                milestones,
            ),
            1.0,
            12,
        )["lr"]
        schedule = schedules.sequential(
            schedules=[
                schedules.constant(lr=1.0, factor=0.5, total_iters=3),
                schedules.exponential(lr=1.0, gamma=0.5),
                schedules.step(lr=1.0, step_size=2, gamma=0.25),
            ],
            milestones=milestones,
        )
        assert_follows(evaluate(schedule, np.arange(13)), want, 0)


def test_chained_cosine_past_its_trough_rises_in_torch_without_the_other_factors():
    """The documented difference: torch restarts from the optimizer's lr, the product does not."""
    from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, ExponentialLR

    T = 50
    want = stepped(
        lambda o: ChainedScheduler([CosineAnnealingLR(o, T_max=T), ExponentialLR(o, gamma=0.9)]), 1.0, 2 * T
    )["lr"]
    got = evaluate(
        schedules.chained(
            schedules=[schedules.cosine_annealing(lr=1.0, T_max=T), schedules.exponential(lr=1.0, gamma=0.9)]
        ),
        np.arange(2 * T + 1),
    )
    assert_follows(got[: T + 1], want[: T + 1], 1e-12)
    np.testing.assert_allclose(got[T + 1 :] / want[T + 1 :], 0.9**T, rtol=1e-9)
