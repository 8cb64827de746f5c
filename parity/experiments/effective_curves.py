"""Experiments (e) and (f): effective lr of single coordinates, under a constant lr and under StepLR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrtheory import rules
from parity.report.data import EffectiveCurves

from ..training import (
    CONSTANT,
    Plan,
    Setup,
    Trajectory,
    batches,
    linear,
    observe_effective_lr,
    torch_loop,
    train_jax,
    train_torch,
)
from .values import curve

BATCH = 32
ADAM = Setup("adam", rules.adam(), {"lr": 0.01})
ADAM_STEPS = 200

EPOCHS, STEPS_PER_EPOCH = 10, 10
HALVE_EVERY = 5  # epochs
STEP_LR = Plan("step", {"step_size": HALVE_EVERY, "gamma": 0.5}, period=STEPS_PER_EPOCH)
STEP_LR_SETUPS = (
    Setup("sgd", rules.sgd(), {"lr": 0.1}, STEP_LR),
    Setup("adam", rules.adam(), {"lr": 0.1}, STEP_LR),
)


@dataclass(frozen=True)
class AdamNominal:
    """Experiment (e).

    Attributes
    ----------
    curves : one a framework
    disagreement : largest relative difference between the effective lr stated by lrtheory and PyTorch's own state
    """

    curves: list[EffectiveCurves]
    disagreement: float


@dataclass(frozen=True)
class Halving:
    """What happened to the realised steps of one run where StepLR halved its lr.

    Attributes
    ----------
    at_once : the first step at the halved lr, over the same step of a run that was not halved
    later : mean norm of all steps at the halved lr, over those of the run that was not halved
    before : mean norm of all steps at the halved lr, over those before, at the full lr
    """

    framework: str
    rule: str
    at_once: float
    later: float
    before: float


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
        unhalved = Setup(setup.label, setup.rule, setup.numbers, CONSTANT)
        runs, controls = (_train(s, EPOCHS * STEPS_PER_EPOCH, seed) for s in (setup, unhalved))
        for framework, run in runs.items():
            curves.append(_curves(framework, setup, run))
            halvings.append(_halving(framework, setup.label, run, controls[framework]))
    return StepSchedule(curves, halvings)


def _halving(framework: str, rule: str, run: Trajectory, control: Trajectory) -> Halving:
    first = HALVE_EVERY * STEPS_PER_EPOCH  # index of the first step at the halved lr
    steps, unhalved = run.step_norm, control.step_norm
    return Halving(
        framework,
        rule,
        at_once=float(steps[first] / unhalved[first]),
        later=float(np.mean(steps[first:]) / np.mean(unhalved[first:])),
        before=float(np.mean(steps[first:]) / np.mean(steps[:first])),
    )


def _train(setup: Setup, steps: int, seed: int) -> dict[str, Trajectory]:
    """Both frameworks on the same batches, with the effective lr of every coordinate at every step."""
    rows = BATCH * STEPS_PER_EPOCH
    problem = linear.linear_problem(rows, seed)
    drawn = batches.shuffled(rows, BATCH, steps, seed)
    return {
        "jax": train_jax(problem, setup, drawn, observe=observe_effective_lr),
        "torch": train_torch(problem, setup, drawn, observe=torch_loop.effective_lr),
    }


def _curves(framework: str, setup: Setup, run: Trajectory) -> EffectiveCurves:
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
