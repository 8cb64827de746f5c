"""Where a number sits at the end of its range, or a step count at the end of its dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch.optim.lr_scheduler as torch_schedulers
from torch.optim.swa_utils import SWALR

from lrtheory import schedules

from .roundings import OURS
from .stepping import U, assert_follows, closed_form, evaluate, stepped

LR = 0.3
EDGES: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("exponential-gamma-0", schedules.exponential(lr=LR, gamma=0.0),
     lambda o: torch_schedulers.ExponentialLR(o, gamma=0.0)),
    ("exponential-gamma-1e-50", schedules.exponential(lr=LR, gamma=1e-50),
     lambda o: torch_schedulers.ExponentialLR(o, gamma=1e-50)),
    ("exponential-gamma-above-1", schedules.exponential(lr=LR, gamma=1.1),
     lambda o: torch_schedulers.ExponentialLR(o, gamma=1.1)),
    ("exponential-gamma-1e50", schedules.exponential(lr=LR, gamma=1e50),
     lambda o: torch_schedulers.ExponentialLR(o, gamma=1e50)),
    ("step-every-step", schedules.step(lr=LR, step_size=1, gamma=0.9),
     lambda o: torch_schedulers.StepLR(o, step_size=1, gamma=0.9)),
    ("multi-step-at-0", schedules.multi_step(lr=LR, milestones=[2, 0, 2], gamma=0.5),
     lambda o: torch_schedulers.MultiStepLR(o, milestones=[2, 0, 2], gamma=0.5)),
    ("linear-one-step", schedules.linear(lr=LR, start_factor=0.5, total_iters=1),
     lambda o: torch_schedulers.LinearLR(o, start_factor=0.5, total_iters=1)),
    ("polynomial-power-below-1", schedules.polynomial(lr=LR, total_iters=4, power=0.3),
     lambda o: torch_schedulers.PolynomialLR(o, total_iters=4, power=0.3)),
    ("cosine-T_max-1", schedules.cosine_annealing(lr=LR, T_max=1, eta_min=0.1),
     lambda o: torch_schedulers.CosineAnnealingLR(o, T_max=1, eta_min=0.1)),
    ("cosine-eta_min-above-lr", schedules.cosine_annealing(lr=LR, T_max=4, eta_min=0.9),
     lambda o: torch_schedulers.CosineAnnealingLR(o, T_max=4, eta_min=0.9)),
    ("cosine-T_max-between-steps", schedules.cosine_annealing(lr=LR, T_max=4.5),
     lambda o: torch_schedulers.CosineAnnealingLR(o, T_max=4.5)),
    ("warm-restarts-T_0-1", schedules.cosine_annealing_warm_restarts(lr=LR, T_0=1, T_mult=2),
     lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, T_0=1, T_mult=2)),
    ("cyclic-downwards", schedules.cyclic(base_lr=LR, max_lr=0.1, step_size_up=3, step_size_down=1),
     lambda o: torch_schedulers.CyclicLR(o, LR, 0.1, step_size_up=3, step_size_down=1)),
    ("cyclic-between-steps", schedules.cyclic(base_lr=LR, max_lr=0.9, step_size_up=2.5, step_size_down=1.25),
     lambda o: torch_schedulers.CyclicLR(o, LR, 0.9, step_size_up=2.5, step_size_down=1.25)),
    ("one-cycle-no-warm-up", schedules.one_cycle(max_lr=LR, total_steps=20, pct_start=0.0),
     lambda o: torch_schedulers.OneCycleLR(o, LR, total_steps=20, pct_start=0.0)),
    ("one-cycle-between-steps", schedules.one_cycle(max_lr=LR, total_steps=20, pct_start=0.33, three_phase=True),
     lambda o: torch_schedulers.OneCycleLR(o, LR, total_steps=20, pct_start=0.33, three_phase=True)),
    ("swalr-one-epoch", schedules.swalr(lr=LR, swa_lr=0.1, anneal_epochs=1),
     lambda o: SWALR(o, swa_lr=0.1, anneal_epochs=1)),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "make"), [row[1:] for row in EDGES], ids=[row[0] for row in EDGES])
def test_schedule_follows_torch_at_the_ends_of_its_numbers(schedule: Any, make: Callable[[Any], Any]):
    want = stepped(make, LR, 6 if make(_optimizer()).__class__.__name__ == "ExponentialLR" else 19)["lr"]
    got = evaluate(schedule, np.arange(want.size))
    # Some tens of steps with short periods: at most 2 roundings each, next to those of our own.
    assert_follows(got, want, (OURS + 2 * want.size) * U * np.maximum(np.abs(want), 1e-3))


def _optimizer():
    from .stepping import optimizer_of

    return optimizer_of(LR)


def test_swalr_without_epochs_is_at_its_lr_at_once():
    want = stepped(lambda o: SWALR(o, swa_lr=0.1, anneal_epochs=0), LR, 6)["lr"]
    assert evaluate(schedules.swalr(lr=LR, swa_lr=0.1, anneal_epochs=0), np.arange(7)).tolist() == want.tolist()


def test_polynomial_of_power_0_is_constant_as_in_torchs_closed_form():
    want = closed_form(lambda o: torch_schedulers.PolynomialLR(o, total_iters=4, power=0), LR, 8)
    assert evaluate(schedules.polynomial(lr=LR, total_iters=4, power=0), np.arange(9)).tolist() == want.tolist()


def test_constant_without_steps_is_its_lr_while_torchs_stepping_keeps_the_factor():
    """A documented difference between torch's two forms; the closed one is met."""

    def make(optimizer):
        return torch_schedulers.ConstantLR(optimizer, factor=0.5, total_iters=0)

    got = evaluate(schedules.constant(lr=LR, factor=0.5, total_iters=0), np.arange(5))
    assert got.tolist() == closed_form(make, LR, 4).tolist() == [LR] * 5
    assert stepped(make, LR, 4)["lr"].tolist() == [LR / 2] * 5


def test_one_cycle_is_nan_where_torch_divides_by_zero():
    with pytest.raises(ZeroDivisionError):
        stepped(lambda o: torch_schedulers.OneCycleLR(o, LR, total_steps=4, pct_start=0.25), LR, 3)
    assert math.isnan(evaluate(schedules.one_cycle(max_lr=LR, total_steps=4, pct_start=0.25), [0])[0])


def test_schedule_refuses_steps_that_its_integers_cannot_hold():
    schedule = schedules.constant(lr=LR)
    with pytest.raises((OverflowError, ValueError), match=r"4294967301|too large"):
        schedule(2**32 + 5)
    with pytest.raises(ValueError, match=r"t=4294967301 is beyond int32; .*x64"):
        schedule(np.int64(2**32 + 5))
    assert evaluate(schedule, np.int64(2**32 + 5)) == LR


@pytest.mark.parametrize("promotion", ["standard", "strict"])
def test_schedules_of_plain_numbers_promote_nothing_by_accident(promotion: str):
    import jax

    with jax.numpy_dtype_promotion(promotion):
        for schedule in (schedules.linear(lr=LR), schedules.step(lr=LR, step_size=3), schedules.exponential(lr=LR, gamma=0.9),
                         schedules.cosine_annealing(lr=LR, T_max=9), schedules.one_cycle(max_lr=LR, total_steps=9),
                         schedules.linear_with_warmup(lr=LR, warmup_steps=2, total_steps=9)):  # fmt: skip
            assert np.all(np.isfinite(jax.jit(schedule)(np.arange(5, dtype=np.int32))))


@pytest.mark.parametrize("gamma", [0.9, 0.999, 0.5, 1.1, 1.0])
@pytest.mark.parametrize("steps", [10**5, 10**9, 1e12, 1e30])
def test_powers_of_a_decay_factor_end_at_0_and_inf(gamma: float, steps: float) -> None:
    """Not nan, which 0 times the correction of a rounded factor gave (truth 12)."""
    with np.errstate(over="ignore", under="ignore"):
        expected = np.float32(np.float64(gamma) ** np.float64(steps))
    for make in (schedules.exponential, lambda **n: schedules.step(step_size=1, **n)):
        np.testing.assert_allclose(
            make(lr=1.0, gamma=gamma)(steps), expected, rtol=1e-4, atol=1e-37
        )  # subnormals may be flushed
