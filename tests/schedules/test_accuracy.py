"""Digits: float64 against mpmath, float32 against float64, up to a million steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from lrtheory import schedules

from .cases import BY_ID, CASES, Case
from .stepping import U, evaluate

MILLION = 1_000_000
U32 = 2.0**-24


def _cosine(x: Any) -> Any:
    return (1 + mpmath.cos(mpmath.pi * x)) / 2


def _warm_restarts(n, t):
    start, length = 0, n["T_0"]
    while t >= start + length:
        start, length = start + length, length * n["T_mult"]
    return n["eta_min"] + (n["lr"] - n["eta_min"]) * _cosine(mpmath.mpf(t - start) / length)


def _cyclic(n, t):
    up, down = n["step_size_up"], n["step_size_down"]
    place = t % (up + down)
    height = mpmath.mpf(place) / up if place <= up else mpmath.mpf(up + down - place) / down
    return n["base_lr"] + (n["max_lr"] - n["base_lr"]) * height * n["gamma"] ** t


def _one_cycle(n, t):
    highest, initial = n["max_lr"], n["max_lr"] / n["div_factor"]
    lowest, end = initial / n["final_div_factor"], n["pct_start"] * n["total_steps"] - 1
    if t <= end:
        return highest + (initial - highest) * _cosine(t / end)
    return lowest + (highest - lowest) * _cosine((t - end) / (n["total_steps"] - 1 - end))


# The textbook formulas, in 60 digits: number of leading ones lost to cancellation is no matter there.
TRUTH: dict[str, Callable] = {
    "step": lambda n, t: n["lr"] * n["gamma"] ** (t // n["step_size"]),
    "exponential": lambda n, t: n["lr"] * n["gamma"] ** t,
    "linear-up": lambda n, t: n["lr"] * (n["start_factor"] + (n["end_factor"] - n["start_factor"])
                                         * mpmath.mpf(min(t, n["total_iters"])) / n["total_iters"]),
    "linear-down": lambda n, t: n["lr"] * (1 - mpmath.mpf(min(t, n["total_iters"])) / n["total_iters"]),
    "polynomial": lambda n, t: n["lr"] * (1 - mpmath.mpf(min(t, n["total_iters"])) / n["total_iters"]) ** n["power"],
    "cosine": lambda n, t: n["eta_min"] + (n["lr"] - n["eta_min"]) * _cosine(mpmath.mpf(t) / n["T_max"]),
    "cosine-to-0": lambda n, t: n["lr"] * _cosine(mpmath.mpf(t % (2 * n["T_max"])) / n["T_max"]),
    "warm-restarts-x1": _warm_restarts,
    "warm-restarts-x3": _warm_restarts,
    "cyclic-exp_range": _cyclic,
    "one-cycle-cos-two-phase": _one_cycle,
}  # fmt: skip


@pytest.mark.parametrize("case_id", TRUTH)
def test_float64_keeps_its_digits_where_the_lr_is_small(case_id: str):
    case, t = BY_ID[case_id], np.arange(501)
    got = evaluate(case.schedule(), t)
    with mpmath.workdps(60):
        numbers = {name: value if isinstance(value, int) else mpmath.mpf(value) for name, value in case.numbers.items()}
        want = [TRUTH[case_id](numbers, int(step)) for step in t]
        # 16 roundings, as counted for float32 below; one cycle's phases end between two steps, one rounding more in
        # 150 steps, which its factor of 20 from lowest to highest enlarges.
        allowed = 16 + (40 if case.name == "one_cycle" else 0)
        for step, (value, exact) in enumerate(zip(got, want, strict=True)):
            scale = max(abs(exact), mpmath.mpf(10) ** -50)  # 0 in the formula may be 1e-60 here
            assert abs(mpmath.mpf(float(value)) - exact) <= allowed * U * scale, (step, value, exact)


def long(case_id: str, **numbers) -> Case:
    """The case with its step counts a million steps long."""
    case = BY_ID[case_id]
    return Case(case.id, case.name, {**case.numbers, **numbers}, case.reference, case.bound, case.options, case.make)


# Roundings on the way to each lr: a number that is no float32 counts 1, and each operation 1 (pow 1, exp, sqrt 2, sin 2);
# a square doubles what came before. Half a cosine takes 2·(3 + 2) + 1 = 11, its two levels and their sum 4 more.
LONG = [
    (long("constant", total_iters=600_000), 4),
    (long("step", step_size=1000, gamma=0.99), 8),
    (long("multi-step", milestones=[10, 1000, 300_000, 999_000]), 8),
    (long("exponential", gamma=0.99999), 8),
    (long("linear-up", total_iters=900_000), 8),
    (long("linear-down", total_iters=MILLION), 8),
    # A power of 0.9 is no float32: x^(0.9·2⁻²⁵) at x = 1e-6 is another |0.9·ln 1e-6| = 12.4 roundings.
    (long("polynomial", total_iters=MILLION, power=0.9), 8 + 13),
    (long("cosine", T_max=300_000), 16),
    (long("cosine-to-0", T_max=MILLION), 16),
    (long("warm-restarts-x1", T_0=999), 16),
    (long("warm-restarts-x2", T_0=1000), 16),
    (long("warm-restarts-x5", T_0=1000), 16),
    (long("cyclic-triangular", step_size_up=2000, step_size_down=30_000), 8),
    (long("cyclic-triangular2", step_size_up=2000, step_size_down=30_000), 8),
    (long("cyclic-exp_range", step_size_up=2000, step_size_down=30_000, gamma=0.99999), 12),
    # The phases of one cycle end at pct_start·total_steps, off by 2 roundings of that many steps in float32: with the
    # highest lr 20 times the first, a straight line there is off by 20 times that.
    *((long(f"one-cycle-{strategy}-{phases}-phase", total_steps=MILLION), 20 + 2 * 20)
      for strategy in ("cos", "linear") for phases in ("two", "three")),
    (long("swalr-cos", anneal_epochs=MILLION), 16),
    (long("swalr-linear", anneal_epochs=MILLION), 8),
    (long("swalr-after-exponential", gamma=0.99999, start=300_000, anneal_epochs=400_000), 20),
    (long("warm-up-then-cosine", total_iters=10_000, T_max=990_000, eta_min=0.0), 20),
    (long("constant-times-exponential", total_iters=1000, gamma=0.99999), 12),
    (long("linear-times-cosine", total_iters=10_000, T_max=MILLION), 24),
    (long("constant-with-warmup", warmup_steps=10_000), 4),
    (long("linear-with-warmup", warmup_steps=10_000, total_steps=MILLION), 4),
    (long("cosine-with-warmup", warmup_steps=10_000, total_steps=MILLION, min_ratio=0.0), 18),
    (long("cosine-with-restarts-and-warmup", warmup_steps=10_000, total_steps=MILLION, num_cycles=7), 16),
    (long("polynomial-with-warmup", warmup_steps=10_000, total_steps=MILLION, power=2.0), 12),
    (long("inverse-sqrt", warmup_steps=10_000, timescale=10_000), 8),
    *((long(f"warmup-stable-decay-{shape}", warmup_steps=10_000, stable_steps=800_000, decay_steps=190_000,
            min_ratio=0.0), 18) for shape in ("linear", "cosine", "1-sqrt")),
]  # fmt: skip


def steps_to_look_at() -> np.ndarray:
    """Both ends densely, what lies between at random: 8000 steps."""
    between = np.random.default_rng(0).integers(0, MILLION, 4000)
    return np.unique(np.concatenate([np.arange(2000), MILLION - np.arange(2000), between, [MILLION]]))


def assert_float32_holds(got: np.ndarray, want: np.ndarray, t: np.ndarray, roundings: int) -> None:
    assert got.dtype == np.float32
    difference = np.abs(got.astype(np.float64) - want)
    bad = ~(difference <= roundings * U32 * np.abs(want))
    worst = np.argmax(difference / np.where(want == 0, 1, np.abs(want)))
    assert not bad.any(), f"{bad.sum()} of {t.size} steps, such as t={t[worst]}: {got[worst]!r} for {want[worst]!r}"


@pytest.mark.parametrize(("case", "roundings"), LONG, ids=[case.id for case, _ in LONG])
def test_float32_keeps_its_digits_for_a_million_steps(case: Case, roundings: int):
    t = steps_to_look_at()
    t = t[t < MILLION] if case.name == "one_cycle" else t
    assert_float32_holds(evaluate(case.schedule(), t, x64=False), evaluate(case.schedule(), t), t, roundings)


TEXTBOOK: dict[str, Callable] = {
    "cosine-to-0": lambda n, t: n["lr"] * (1 + np.cos(np.float32(np.pi) * t / np.float32(n["T_max"]))) / 2,
    "linear-down": lambda n, t: n["lr"] * (1 - t / np.float32(n["total_iters"])),
    "exponential": lambda n, t: n["lr"] * np.float32(n["gamma"]) ** t,
    "step": lambda n, t: n["lr"] * np.float32(n["gamma"]) ** (t // n["step_size"]),
}


@pytest.mark.parametrize("case_id", TEXTBOOK)
def test_float32_bound_catches_the_textbook_form(case_id: str):
    case, roundings = next((case, k) for case, k in LONG if case.id == case_id)
    t = steps_to_look_at()
    naive = np.asarray(TEXTBOOK[case_id](case.numbers, t.astype(np.float32)), np.float32)
    with pytest.raises(AssertionError, match="steps, such as"):
        assert_float32_holds(naive, evaluate(case.schedule(), t), t, roundings)


def test_every_schedule_is_looked_at_in_float32():
    left_out = {case.name for case in CASES} - {case.name for case, _ in LONG}
    assert left_out == {"lambda_lr", "multiplicative"}  # the user's own function; a table formed in double precision


def test_steps_beyond_float32_integers_stay_exact():
    total = 2**26
    schedule = schedules.linear(lr=1.0, start_factor=1.0, end_factor=0.0, total_iters=total)
    assert evaluate(schedule, [total - 1, total - 3], x64=False).tolist() == [2.0**-26, 3 * 2.0**-26]
    restarts = schedules.cosine_annealing_warm_restarts(lr=1.0, T_0=1, T_mult=2)
    assert evaluate(restarts, [2**25 - 1, 2**26 - 1, 2**29 - 1], x64=False).tolist() == [1.0, 1.0, 1.0]
    assert evaluate(restarts, [2**25 - 2], x64=False)[0] < 1e-12


def test_warm_restarts_are_exact_at_every_restart_and_for_all_growths():
    """The logarithm that finds the cycle is corrected by counting: no restart is missed or early."""
    growths = np.array([1, 2, 3, 4, 5, 7, 10, 100, 1000, 46_341, 100_000])
    for T_0 in (1, 2, 3, 10, 99):
        for T_mult in growths.tolist():
            starts, length, start = [], T_0, 0
            while start < 2**29 and len(starts) < 60:
                starts.append(start)
                start, length = start + length, length * T_mult
            schedule = schedules.cosine_annealing_warm_restarts(lr=1.0, T_0=T_0, T_mult=T_mult)
            for x64 in (False, True):
                at = evaluate(schedule, np.pad(starts, (0, 60 - len(starts))), x64=x64)
                before = evaluate(schedule, np.pad(np.asarray(starts[1:], int) - 1, (0, 61 - len(starts))), x64=x64)
                assert np.all(at == 1.0), (T_0, T_mult, x64)
                # One step before a restart of a cycle of length L the lr is sin²(π/2L).
                lengths = np.diff(starts).astype(float)
                expected = np.sin(np.pi / 2 / lengths) ** 2
                np.testing.assert_allclose(before[: lengths.size], expected, rtol=16 * (U if x64 else U32))


def test_hard_restarts_are_exact_where_the_rounded_quotient_is_not():
    """With 49 cycles in 49·k steps, every k-th step after the warm-up has the full lr."""
    cycles, k = 49, 10
    schedule = schedules.cosine_with_restarts_and_warmup(lr=1.0, warmup_steps=0, total_steps=cycles * k, num_cycles=49)
    restarts = np.arange(cycles) * k
    assert np.all(evaluate(schedule, restarts) == 1.0)
    rounded = (cycles * (restarts / (cycles * k))) % 1.0
    assert np.any(rounded > 0.5), "the rounded quotient was meant to miss a restart here"
