"""Planted differences of schedules are recovered, in the words of the schedule that lacks them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrtheory.spec.text import SpecError
from parity import diagnose
from parity.diagnosis import FAMILIES, Implementation, fit, implementation
from parity.diagnosis.probe import Path, Probe, distance
from parity.diagnosis.schedules import SCHEDULES, ScheduleFamily
from parity.diagnosis.schedules.formulas import SINGLE

TORCH = "torch.optim.lr_scheduler."
COSINE, CYCLE = "cosine_annealing(lr=0.1, T_max=50)", "one_cycle(max_lr=0.1, total_steps=50)"


def shifted(sound: Implementation, steps: int) -> Implementation:
    """It counts from another step."""

    def run(given: Any, probe: Probe) -> Path:
        longer = replace(probe, factors=np.ones(probe.steps + 1))
        path = {name: values[1:] for name, values in sound.follow(given, longer).items()}
        late = {name: np.concatenate([values[:1], values[:-2]]) for name, values in path.items()}
        early = {name: values[1:] for name, values in path.items()}
        return {name: np.concatenate([[0.0], values]) for name, values in (early if steps > 0 else late).items()}

    return replace(sound, text="the broken one", follow=run)


def changed(sound: Implementation, values: Any) -> Implementation:
    """Its lr or momentum are otherwise."""
    return replace(sound, text="the broken one", follow=lambda given, probe: values(sound.follow(given, probe)))


def told(a: str | Implementation, b: str | Implementation) -> dict[str, Any]:
    now = diagnose(a, b)
    assert now.outcome == "settings", now.sentence
    return {change.setting: change.b for change in now.changes}


@pytest.mark.parametrize("text", [COSINE, CYCLE, "optax.linear_schedule(0.1, 0.01, 20)", "step(lr=0.1, step_size=7)"])
@pytest.mark.parametrize(("steps", "which"), [(1, "the step after"), (-1, "the step before")])
def test_a_schedule_that_is_off_by_one_is_told_so(text: str, steps: int, which: str) -> None:
    sound = implementation(text)
    assert told(sound, shifted(sound, steps)) == {"lr of": which}


@pytest.mark.parametrize(
    ("text", "other", "setting", "value"),
    [
        (COSINE, "cosine_annealing(lr=0.1, T_max=41)", "T", 41),
        (COSINE, "cosine_annealing(lr=0.1, T_max=50, eta_min=0.003)", "end", 0.003),
        (COSINE, "cosine_annealing(lr=0.1, T_max=50, eta_min=1e-6)", "end", 1e-6),  # smaller than float32 may drift
        (COSINE, "cosine_annealing(lr=0.2, T_max=50)", "lr", 0.2),
        (CYCLE, "one_cycle(max_lr=0.1, total_steps=50, base_momentum=0.8)", "base_momentum", 0.8),
        (CYCLE, "one_cycle(max_lr=0.1, total_steps=50, pct_start=0.4)", "pct_start", 0.4),
        (CYCLE, "one_cycle(max_lr=0.1, total_steps=50, final_div_factor=100.0)", "final_div", 100),
        ("exponential(lr=0.1, gamma=0.9)", "exponential(lr=0.1, gamma=0.91)", "gamma", 0.91),
        ("multi_step(lr=0.1, milestones=[5, 9])", "multi_step(lr=0.1, milestones=[5, 12])", "milestone 2", 12),
        ("linear(lr=0.1, total_iters=30)", "linear(lr=0.1, total_iters=31)", "total", 31),
    ],
)
def test_a_number_that_is_not_as_stated_is_solved_for(text: str, other: str, setting: str, value: float) -> None:
    """The other says that it is the first, and runs otherwise."""
    sound, broken = implementation(text), implementation(other)
    found = told(sound, replace(sound, text="the broken one", follow=lambda given, probe: broken.path(probe)))
    assert found == {setting: pytest.approx(value, rel=1e-6)}


def test_what_no_formula_gives_is_said_so() -> None:
    sound = implementation(COSINE)
    now = diagnose(sound, changed(sound, lambda path: path | {"lr": path["lr"] ** 1.1}))
    assert now.outcome == "unknown"
    assert "nothing known runs as the broken one does" in now.sentence


def test_a_momentum_that_is_left_alone_is_a_difference() -> None:
    sound = implementation(CYCLE)
    broken = changed(
        sound, lambda path: path | {"momentum": np.concatenate([[0.0], np.full(len(path["lr"]) - 1, np.nan)])}
    )
    assert told(sound, broken) == {"momentum": "left alone"}


def test_the_sentences() -> None:
    assert diagnose(
        "optax.cosine_decay_schedule(0.1, decay_steps=50)", f"{TORCH}CosineAnnealingLR(T_max=50)"
    ).sentence == (
        "optax.cosine_decay_schedule(0.1, decay_steps=50) equals torch.optim.lr_scheduler.CosineAnnealingLR(T_max=50) with an "
        "lr that rises again after the horizon, which optax.cosine_decay_schedule has no option for"
    )


def test_an_argument_that_follows_another_is_given_with_it() -> None:
    """The alpha of optax is a share of the first lr: with another first lr the same last lr is another share."""
    now = diagnose(
        "optax.cosine_decay_schedule(0.1, 50, alpha=0.1)", "optax.cosine_decay_schedule(0.2, 50, alpha=0.05)"
    )
    assert (now.verified, now.residual) == ("run", pytest.approx(0, abs=1e-12))
    assert [dict(change.arguments or {}) for change in now.changes] == [
        {"init_value": 0.2, "alpha": pytest.approx(0.05)}
    ]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (
            "optax.piecewise_constant_schedule(0.1, {3: 0.5})",
            f"{TORCH}MultiStepLR(milestones=[3, 7], gamma=0.5, lr=0.1)",
        ),
        (f"{TORCH}MultiStepLR(milestones=[3], lr=0.1)", f"{TORCH}MultiStepLR(milestones=[4], gamma=0.2, lr=0.1)"),
        (f"{TORCH}MultiStepLR(milestones=[], lr=0.1)", f"{TORCH}MultiStepLR(milestones=[4], lr=0.1)"),
        (f"{TORCH}LinearLR(lr=0.1)", "optax.linear_schedule(0.02, 0.1, 7)"),
        (f"{TORCH}ConstantLR(lr=0.1, factor=0.5)", "optax.piecewise_constant_schedule(0.04, {5: 5.0})"),
        ("optax.exponential_decay(0.1, 10, 1.5, end_value=0.3)", f"{TORCH}StepLR(step_size=10, gamma=1.5)"),
        ("optax.exponential_decay(0.1, 10, 1.5)", "optax.exponential_decay(0.1, 10, 1.5, end_value=0.3)"),
        (
            "optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 50)",
            "optax.warmup_cosine_decay_schedule(0.01, 0.2, 5, 40)",
        ),
    ],
)
def test_changes_that_can_be_given_are_run(a: str, b: str) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.verified) == ("settings", "run")
    assert now.residual <= 1e-9


def test_a_share_of_nothing_cannot_be_given() -> None:
    now = diagnose(f"{TORCH}LinearLR(lr=0.0)", "optax.linear_schedule(0.02, 0.1, 7)")
    assert (now.outcome, now.verified) == ("settings", "model")
    assert now.sentence.endswith(f"the last 2 of which {TORCH}LinearLR has no option for")


def test_a_torch_scheduler_has_the_lr_that_it_is_given() -> None:
    assert told(COSINE, f"{TORCH}CosineAnnealingLR(T_max=50, lr=0.3)") == {"lr": 0.3}
    assert diagnose(f"{TORCH}StepLR(step_size=3)", f"{TORCH}StepLR(step_size=3, lr=0.3)").outcome == "same"


@st.composite
def members(draw: st.DrawFn) -> tuple[ScheduleFamily, dict[str, str], dict[str, str]]:
    names = sorted({words.family for words in SCHEDULES.values()})
    family = FAMILIES[draw(st.sampled_from(names))]
    assert isinstance(family, ScheduleFamily)
    start = {name: draw(st.sampled_from(values)) for name, values in family.switches.items()}
    end = {name: draw(st.sampled_from(values)) for name, values in family.switches.items()}
    return family, start, end


@given(members())
def test_turned_switches_are_found_from_the_lr_alone(member: Any) -> None:
    """However many are turned: what is found runs alike and is no farther from the start than what was planted."""
    family, start, end = member
    numbers = {"lr": 0.1, "T": 12.0, "steps": 5.0, "total": 20.0, "milestone 1": 4.0, "factor 1": 0.5}
    numbers = {name: value for name, value in numbers.items() if name in family.numbers}
    probe = family.probe(numbers)
    path = family.run(numbers, end, probe)
    now = fit(family, path, probe, numbers, start)
    assert now.exact
    assert distance(family.run(now.numbers, now.switches, probe), path) <= family.tolerance(now.switches)
    sharp = SINGLE in end.values() or SINGLE in start.values()
    turned = sum(now.switches[name] != start[name] for name in start)
    assert turned <= sum(end[name] != start[name] for name in start) + sharp


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("cosine_annealing(lr=0.1, T_max=50)", "adam(lr=0.1)", "is a schedule, adam.lr=0.1. is an optimizer: give two"),
        (f"{TORCH}CyclicLR(base_lr=0.1)", COSINE, "needs arguments: give max_lr"),
        (f"{TORCH}OneCycleLR(max_lr=0.1, total_steps=9, closed_form=True)", CYCLE, "OneCycleLR has no closed form"),
        ("cosine_annealing(lr=0.1)", COSINE, "T_max"),
        ("optax.cosine_decay_schedule(0.1, 10000000)", COSINE, "give both a shorter horizon"),
        (f"{TORCH}CosineAnnealingLR(T_max=5, foo=1)", COSINE, "has no argument 'foo'; it has"),
        ("multi_step(lr=0.1, milestones=[1, 2, 3, 4, 5, 6, 7])", COSINE, "7 milestones, of which"),
        ("optax.sgdr_schedule([])", COSINE, "cannot be diagnosed with these arguments .IndexError"),
        (f"{TORCH}ConstantLR(factor=0)", "multi_step(lr=0.1, milestones=[3])", "no 0 where the next value"),
        (f"{TORCH}OneCycleLR(max_lr=[0.1], total_steps=50)", CYCLE, "give single numbers"),
    ],
)
def test_what_cannot_be_run_is_refused(a: str, b: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        diagnose(a, b)
