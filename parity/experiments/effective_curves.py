"""Experiments (e) and (f): effective lr of single coordinates, under a constant lr and under StepLR."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lrtheory import rules
from lrtheory.words import figure, listed, spoken

from ..cases import LrSchedule
from ..measured import EffectiveCurves, Verdict, curve
from ..training import (
    Setup,
    Trained,
    linear,
    observe_effective_lr,
    torch_loop,
    train_jax,
    train_torch,
)

BATCH = 32
ADAM = Setup("adam", rules.adam(), {"lr": 0.01})
ADAM_STEPS = 200

EPOCHS, STEPS_PER_EPOCH = 10, 10
HALVE_EVERY = 5  # epochs
STEP_LR = LrSchedule("step", {"step_size": HALVE_EVERY, "gamma": 0.5}, period=STEPS_PER_EPOCH)
STEP_LR_SETUPS = (
    Setup("sgd", rules.sgd(), {"lr": 0.1}, STEP_LR),
    Setup("adam", rules.adam(), {"lr": 0.1}, STEP_LR),
)


@dataclass(frozen=True)
class AdamNominal:
    """Experiment (e)."""

    curves: list[EffectiveCurves]  # one a framework
    # largest relative difference between the effective lr stated by lrtheory and PyTorch's own state
    disagreement: float


@dataclass(frozen=True)
class Halving:
    """What happened to the realised steps of one run where StepLR halved its lr."""

    framework: str
    rule: str
    at_once: float  # the first step at the halved lr, over the same step of a run that was not halved
    later: float  # mean norm of all steps at the halved lr, over those of the run that was not halved
    before: float  # mean norm of all steps at the halved lr, over those before, at the full lr


@dataclass(frozen=True)
class StepSchedule:
    """Experiment (f)."""

    curves: list[EffectiveCurves]
    halvings: list[Halving]


def measure_adam(seed: int) -> AdamNominal:
    """Adam at lr 0.01 on the ten-feature linear model."""
    trajectories = _train(ADAM, ADAM_STEPS, seed)
    ours, theirs = (trajectories[framework].seen for framework in ("jax", "torch"))
    disagreement = max(float(np.max(np.abs(ours[name] / theirs[name] - 1))) for name in theirs)
    return AdamNominal([_curves(f, ADAM, t) for f, t in trajectories.items()], disagreement)


def measure_schedule(seed: int) -> StepSchedule:
    """StepLR stepped once an epoch, from lr 0.1 over ten epochs of ten steps, for SGD and for Adam."""
    curves, halvings = [], []
    for setup in STEP_LR_SETUPS:
        unhalved = replace(setup, schedule=LrSchedule())
        runs, controls = (_train(s, EPOCHS * STEPS_PER_EPOCH, seed) for s in (setup, unhalved))
        for framework, run in runs.items():
            curves.append(_curves(framework, setup, run))
            halvings.append(_halving(framework, setup.label, run, controls[framework]))
    return StepSchedule(curves, halvings)


def _halving(framework: str, rule: str, run: Trained, control: Trained) -> Halving:
    first = HALVE_EVERY * STEPS_PER_EPOCH  # index of the first step at the halved lr
    steps, unhalved = run.step_norm, control.step_norm
    return Halving(
        framework,
        rule,
        at_once=float(steps[first] / unhalved[first]),
        later=float(np.mean(steps[first:]) / np.mean(unhalved[first:])),
        before=float(np.mean(steps[first:]) / np.mean(steps[:first])),
    )


def _train(setup: Setup, steps: int, seed: int) -> dict[str, Trained]:
    """Both frameworks on the same batches, with the effective lr of every coordinate at every step."""
    problem = linear.linear_problem(BATCH * STEPS_PER_EPOCH, seed)
    drawn = problem.shuffled(BATCH, steps, seed)
    return {
        "jax": train_jax(problem, setup, drawn, observe=observe_effective_lr),
        "torch": train_torch(problem, setup, drawn, observe=torch_loop.effective_lr),
    }


def _curves(framework: str, setup: Setup, run: Trained) -> EffectiveCurves:
    coordinates = {
        f"{name}[{','.join(map(str, at))}]": curve(values[(slice(None), *at)])
        for name, values in run.seen.items()
        for at in np.ndindex(values.shape[1:])
    }
    return EffectiveCurves(
        framework=framework,
        rule=setup.label,
        step=list(range(1, len(run.lr) + 1)),
        nominal_lr=curve(run.lr),
        coordinates=coordinates,
        step_norm=curve(run.step_norm),
    )


MOVES = 1.01
"""An effective lr is said to move if its largest value is at least this many times its smallest."""

AT_ONCE = 1e-9
"""The step at the halved lr is half the unhalved one within this: rounding of a difference of parameters."""

ALSO_LATER = 0.1
"""Steps over many epochs count as halved if their ratio is within this of one half."""


def adam_nominal(found: AdamNominal) -> Verdict:
    """Whether the effective lr moves while the nominal one stays."""
    nominal = {value for curves in found.curves for value in curves["nominal_lr"]}
    curves = [[v for v in c if v is not None] for run in found.curves for c in run["coordinates"].values()]
    smallest, largest = min(map(min, curves)), max(map(max, curves))
    moves = max(max(c) / min(c) for c in curves)
    still = len(nominal) == 1
    holds = still and moves >= MOVES
    lr = next(iter(nominal)) or 0.0
    return Verdict(
        id="adam-nominal",
        question='Does Adam\'s effective lr move while param_groups[0]["lr"] stays put?',
        outcome="holds" if holds else "fails",
        sentence=f"Yes. The nominal lr is {lr:g} throughout; the effective lr of single coordinates runs from "
        f"{figure(smallest)} to {figure(largest)}."
        if holds
        else f"No. {'The effective lr stays put as well' if still else f'The nominal lr itself took {len(nominal)} values'}.",
        evidence=f"Over {len(found.curves[0]['step'])} steps one coordinate's effective lr changes up to "
        f"{moves:.3g}-fold. Computed from PyTorch's own optimizer state and by lrtheory: the same within "
        f"{figure(found.disagreement)}.",
        advice="Log lr/(√v̂ + eps), not lr, if you want to know what Adam trains with.",
        figure="adam",
    )


def step_schedule(found: StepSchedule) -> Verdict:
    """Whether realised steps halve when StepLR halves the lr."""
    if not found.halvings:
        raise ValueError("no halving was measured")
    at_once = all(abs(h.at_once - 0.5) <= AT_ONCE for h in found.halvings)
    later = all(abs(h.before / 0.5 - 1) <= ALSO_LATER for h in found.halvings)
    outcome = ("holds" if later else "depends") if at_once else "fails"
    first: dict[str, Halving] = {}
    for halving in found.halvings:
        first.setdefault(halving.rule, halving)
    worst = max(abs(h.at_once - 0.5) for h in found.halvings)
    return Verdict(
        id="step-schedule",
        question=f"When StepLR halves the lr after {HALVE_EVERY} epochs, do the realised steps halve?",
        outcome=outcome,
        sentence={
            "holds": "Yes, at once and over the epochs that follow.",
            "depends": "At once, yes: the first step at the halved lr is half as long. Over the epochs that follow, steps "
            "change by what the gradients do as well.",
            "fails": "No: not even the first step at the halved lr is half as long.",
        }[outcome],
        evidence=f"The first step after the drop is half of the one without the drop, within {figure(worst)}. The mean step "
        f"of epochs {HALVE_EVERY + 1} to {EPOCHS}: "
        + "; ".join(
            f"{spoken(rule)} {h.before:.2g} times that of the epochs before, {h.later:.2g} times that of the same epochs "
            "without the drop"
            for rule, h in first.items()
        )
        + f" ({listed(spoken(h.framework) for h in found.halvings)}).",
        advice="Read a schedule as a factor on each step, not as the size of the steps: plot ‖Δθ‖ beside the lr.",
        figure="schedule",
    )
