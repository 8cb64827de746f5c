"""Experiments (a), (b), (c): the loss as it is, ten times as large, and ten times as large with something done about it.

Also: at which factor SGD diverges, by theory and by running into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrtheory import rules
from lrtheory.theory.scaling import rescaled_hyper
from parity.report.data import LossScaleRun, Threshold

from ..training import (
    BEYOND_ROUNDING,
    PLAIN,
    Problem,
    Setup,
    Trajectory,
    batches,
    distance,
    linear,
    load_digits,
    train_jax,
    train_torch,
)
from .values import curve, finite

ALPHA = 10.0
LR = 0.01
STEPS = 100
ROWS = 256

AS_IS = "loss as it is"
SAME_LR = "loss ×10, same lr"
LR_DIVIDED = "loss ×10, lr/10"
CORRECTED = "loss ×10, corrected"

Train = Callable[..., Trajectory]
TRAIN: dict[str, Train] = {"jax": train_jax, "torch": train_torch}


@dataclass(frozen=True)
class Variant:
    """One way to run a setup."""

    name: str
    alpha: float
    setup: Setup


def variants(setup: Setup, names: tuple[str, ...] = (AS_IS, SAME_LR, LR_DIVIDED, CORRECTED)) -> list[Variant]:
    """A setup as it is, with its loss times alpha, and with what is said to make up for it."""
    hyper = setup.rule.hyper(**setup.numbers)
    hypers = {
        AS_IS: hyper,
        SAME_LR: hyper,
        LR_DIVIDED: hyper._replace(lr=hyper.lr / ALPHA),
        CORRECTED: rescaled_hyper(setup.rule, hyper, loss=ALPHA),
    }
    return [Variant(name, 1.0 if name == AS_IS else ALPHA, _with(setup, hypers[name])) for name in names]


def _with(setup: Setup, hyper: Any) -> Setup:
    numbers = {name: value for name, value in hyper._asdict().items() if value is not None}
    return Setup(setup.label, setup.rule, numbers, setup.plan)


def measure_regression(seed: int) -> list[LossScaleRun]:
    """Every variant of SGD, Adam and RMSprop at lr 0.01 on a linear regression, in both frameworks."""
    problem = linear.linear_problem(ROWS, seed)
    setups = [Setup(name, rules.get(name)(), {"lr": LR}) for name in ("sgd", "adam", "rmsprop")]
    return [run for setup in setups for run in measure(problem, variants(setup), batches.full(ROWS, STEPS))]


def measure_digits(setups: Iterable[Setup], rows: np.ndarray, seed: int, **jax_options: Any) -> list[LossScaleRun]:
    """The digits as they are, with the loss times ten, and corrected, in both frameworks."""
    problem = PLAIN.on(load_digits(seed), seed)
    chosen = (AS_IS, SAME_LR, CORRECTED)
    return [run for setup in setups for run in measure(problem, variants(setup, chosen), rows, **jax_options)]


def measure(problem: Problem, chosen: list[Variant], rows: np.ndarray, **jax_options: Any) -> list[LossScaleRun]:
    """Run the variants, the first of which is the unscaled one, in both frameworks.

    ``jax_options`` such as an observer change no result, but which compiled program is run.
    """
    runs = []
    for framework, train in TRAIN.items():
        extra = jax_options if framework == "jax" else {}
        trajectories = [train(problem, v.setup, rows, loss_scale=v.alpha, **extra) for v in chosen]
        for variant, trajectory in zip(chosen, trajectories, strict=True):
            apart = None if trajectory.diverged else finite(distance(trajectories[0], trajectory).largest)
            runs.append(
                LossScaleRun(
                    problem=problem.name,
                    rule=variant.setup.label,
                    variant=variant.name,
                    framework=framework,
                    alpha=variant.alpha,
                    hyper={k: float(v) for k, v in variant.setup.numbers.items() if k in SHOWN and v != 0},
                    loss=curve(trajectory.loss / variant.alpha),
                    diverged=trajectory.diverged,
                    distance=apart,
                )
            )
    return runs


SHOWN = ("lr", "momentum", "eps")

THRESHOLD_STEPS = 300
WIDTH = 1e-3
"""Relative width of the bracket around the divergence threshold."""


def measure_thresholds(seed: int, width: float = WIDTH) -> list[Threshold]:
    """The alpha at which SGD starts to diverge on the regression, predicted and bracketed by runs."""
    problem = linear.linear_problem(ROWS, seed)
    curvature = linear.largest_curvature(problem)
    setup = Setup("sgd", rules.sgd(), {"lr": LR})
    rows = batches.full(ROWS, THRESHOLD_STEPS)

    def found(framework: str) -> Threshold:
        converging, diverging = bracket(
            lambda alpha: grows(TRAIN[framework](problem, setup, rows, loss_scale=alpha)), width
        )
        return Threshold(
            framework=framework,
            lr=LR,
            curvature=curvature,
            predicted=2 / (LR * curvature),
            largest_converging=converging,
            smallest_diverging=diverging,
        )

    return [found(framework) for framework in TRAIN]


def grows(trajectory: Trajectory) -> bool:
    """Whether the loss is higher at the end than halfway, when nothing is left but the steepest direction.

    Higher by more than rounding: a run that has long converged jitters in the last digit.
    """
    return not trajectory.loss[-1] <= trajectory.loss[len(trajectory.loss) // 2] * (1 + BEYOND_ROUNDING)


def bracket(diverges: Callable[[float], bool], width: float) -> tuple[float, float]:
    """The largest alpha seen to converge and the smallest seen to diverge, at most ``width`` apart, relatively.

    Doubles from 1 and bisects; nothing that theory says enters.
    """
    converging, diverging = 1.0, 2.0
    if diverges(converging):
        raise ValueError("SGD diverges with the loss as it is: there is no threshold above 1 to look for")
    while not diverges(diverging):
        converging, diverging = diverging, 2 * diverging
    while diverging / converging - 1 > width:
        middle = (converging + diverging) / 2
        converging, diverging = (converging, middle) if diverges(middle) else (middle, diverging)
    return converging, diverging
