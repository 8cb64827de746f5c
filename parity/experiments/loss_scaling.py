"""Experiments (a), (b), (c): the loss as it is, ten times as large, and ten times as large with something done about it.

Also: at which factor SGD diverges, by theory and by running into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from lrtheory import rules
from lrtheory.theory.scaling import rescaled_hyper
from lrtheory.words import changed, figure, listed, spoken

from ..measured import LossScaleRun, ThresholdBracket, Verdict, curve, finite
from ..training import (
    BEYOND_ROUNDING,
    PLAIN,
    Problem,
    Setup,
    Trained,
    distance,
    linear,
    load_digits,
    train_jax,
    train_torch,
)

ALPHA = 10.0
LR = 0.01
STEPS = 100
ROWS = 256

AS_IS = "loss as it is"
SAME_LR = "loss ×10, same lr"
LR_DIVIDED = "loss ×10, lr/10"
CORRECTED = "loss ×10, corrected"

TRAIN: dict[str, Callable[..., Trained]] = {"jax": train_jax, "torch": train_torch}


class Variant(NamedTuple):
    """One way to run a setup."""

    name: str
    alpha: float
    setup: Setup


def variants(setup: Setup, names: tuple[str, ...] = (AS_IS, SAME_LR, LR_DIVIDED, CORRECTED)) -> list[Variant]:
    """A setup as it is, with its loss times alpha, and with what is said to make up for it."""
    hyper = setup.hyper
    hypers = {
        AS_IS: hyper,
        SAME_LR: hyper,
        LR_DIVIDED: hyper._replace(lr=hyper.lr / ALPHA),
        CORRECTED: rescaled_hyper(setup.rule, hyper, loss=ALPHA),
    }
    return [Variant(name, 1.0 if name == AS_IS else ALPHA, setup.with_hyper(hypers[name])) for name in names]


def measure_regression(seed: int) -> list[LossScaleRun]:
    """Every variant of SGD, Adam and RMSprop at lr 0.01 on a linear regression, in both frameworks."""
    problem = linear.linear_problem(ROWS, seed)
    setups = [Setup(name, rules.get(name)(), {"lr": LR}) for name in ("sgd", "adam", "rmsprop")]
    return [run for setup in setups for run in measure(problem, variants(setup), problem.whole(STEPS))]


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


def measure_thresholds(seed: int) -> list[ThresholdBracket]:
    """The alpha at which SGD starts to diverge on the regression, predicted and bracketed by runs."""
    problem = linear.linear_problem(ROWS, seed)
    curvature = linear.largest_curvature(problem)
    setup = Setup("sgd", rules.sgd(), {"lr": LR})
    rows = problem.whole(THRESHOLD_STEPS)

    def found(framework: str) -> ThresholdBracket:
        converging, diverging = bracket(
            lambda alpha: grows(TRAIN[framework](problem, setup, rows, loss_scale=alpha)), WIDTH
        )
        return ThresholdBracket(
            framework=framework,
            lr=LR,
            curvature=curvature,
            predicted=2 / (LR * curvature),
            largest_converging=converging,
            smallest_diverging=diverging,
        )

    return [found(framework) for framework in TRAIN]


def grows(trajectory: Trained) -> bool:
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


UNDONE = BEYOND_ROUNDING
"""Share of the distance travelled within which a scaled run counts as the unscaled one."""

HARDLY = 1e-2
"""The same for a difference that nobody sees in a loss curve: a convention."""


def distances(runs: Iterable[LossScaleRun], rule: str, variant: str) -> dict[str, float]:
    """Largest distance from the unscaled run by problem, over the frameworks; inf where one diverged.

    Raises ValueError if there is no such run: a verdict on nothing would be none.
    """
    found: dict[str, float] = {}
    for run in runs:
        if (run["rule"], run["variant"]) == (rule, variant):
            apart = math.inf if run["distance"] is None else run["distance"]
            found[run["problem"]] = max(apart, found.get(run["problem"], 0.0))
    if not found:
        raise ValueError(f"no run of {rule} with {variant}")
    return found


def dividing_lr(runs: list[LossScaleRun], rule: str) -> Verdict:
    """Whether lr/10 undoes a loss times ten."""
    divided, nothing, corrected = (
        max(distances(runs, rule, variant).values()) for variant in (LR_DIVIDED, SAME_LR, CORRECTED)
    )
    hyper = {run["variant"]: run["hyper"] for run in runs if run["rule"] == rule}
    name, remedy = spoken(rule), changed(hyper[AS_IS], hyper[CORRECTED])
    undone = divided <= UNDONE
    if undone:
        sentence = f"Yes. With {name}, a loss ten times as large and a tenth of the lr train exactly as before."
        advice = "When you multiply the loss by a factor, divide lr (and multiply weight decay) by it."
    elif corrected <= UNDONE:
        sentence = f"No. With {name}, a tenth of the lr trains another model; what undoes the factor is {remedy}."
        advice = f"Leave {name}'s lr alone when you rescale the loss; multiply eps by the factor."
    else:
        sentence = f"No. With {name}, a tenth of the lr does not undo the factor, nor does {remedy}."
        advice = "Do not rescale the loss with this rule, or tune it anew."
    return Verdict(
        id=f"loss-scale-{rule}",
        question=f"Does dividing lr by ten undo a loss ten times as large, with {name}?",
        outcome="holds" if undone else "fails",
        sentence=sentence,
        evidence=f"Largest distance of a parameter from the unscaled run, over its travel: {figure(divided)} with lr/10, "
        f"{figure(nothing)} with nothing changed"
        + ("" if undone else f", {figure(corrected)} with {remedy}")
        + f". At most {UNDONE:g} counts as equal. Linear regression; the worse of JAX and PyTorch.",
        advice=advice,
        figure="loss-scale",
    )


def correcting(runs: list[LossScaleRun]) -> Verdict:
    """Whether the change that units prescribe undoes the factor for every rule and problem."""
    apart = {
        (rule, problem): distance
        for rule in dict.fromkeys(run["rule"] for run in runs)
        for problem, distance in distances(runs, rule, CORRECTED).items()
    }
    off = [f"{spoken(rule)} ({problem})" for (rule, problem), distance in apart.items() if not distance <= UNDONE]
    worst = max(apart.values())
    rules = listed(spoken(rule) for rule, _ in apart)
    return Verdict(
        id="loss-scale-correction",
        question="Can a factor on the loss be undone exactly, whatever the rule?",
        outcome="fails" if off else "holds",
        sentence=f"No: not for {listed(off)}."
        if off
        else f"Yes, for {rules}: each has hyperparameters with which the scaled run is the unscaled one.",
        evidence=f"Largest distance from the unscaled run with corrected hyperparameters: {figure(worst)} of the travel, over "
        f"{len(apart)} pairs of rule and problem, in JAX and PyTorch.",
        advice="Take them from lrtheory.rescale(rule, hyper, loss=10) or from lrtheory explain: lr/10 for SGD, eps·10 for Adam "
        "and RMSprop.",
        figure="loss-scale",
    )


def noticing(runs: list[LossScaleRun], rule: str = "adam") -> Verdict:
    """Whether an adaptive rule with its default eps is blind to a loss times ten."""
    apart = distances(runs, rule, SAME_LR)
    worst, name = max(apart.values()), spoken(rule)
    outcome = "holds" if worst <= UNDONE else "depends" if worst <= HARDLY else "fails"
    return Verdict(
        id=f"loss-scale-blind-{rule}",
        question=f"Is {name} blind to the scale of the loss?",
        outcome=outcome,
        sentence={
            "holds": f"Yes: {name} trains as before, to rounding.",
            "depends": f"Nearly: {name} with its default eps notices the factor, but only a little.",
            "fails": f"No: with its default eps, {name} trains to another result.",
        }[outcome],
        evidence="Largest distance from the unscaled run with a loss ten times as large and nothing changed: "
        + "; ".join(f"{figure(distance)} of the travel on {problem}" for problem, distance in apart.items())
        + ". The first step changes by at most the share eps/√v̂, so small gradients or a large eps make it more.",
        advice="With the default eps of 1e-8 there is nothing to do. With a large eps, or with gradients near eps, "
        "multiply eps by the factor.",
        figure="loss-scale",
    )


def divergence(thresholds: list[ThresholdBracket]) -> Verdict:
    """Whether SGD diverges where 2/(lr·curvature) says."""
    if not thresholds:
        raise ValueError("no threshold was measured")
    missed = [t for t in thresholds if not t["largest_converging"] <= t["predicted"] <= t["smallest_diverging"]]
    brackets = "; ".join(
        f"{spoken(t['framework'])} converges at {t['largest_converging']:.5g} and diverges at "
        f"{t['smallest_diverging']:.5g}"
        for t in thresholds
    )
    first = thresholds[0]
    return Verdict(
        id="sgd-threshold",
        question="By how much can the loss be multiplied before SGD diverges?",
        outcome="fails" if missed else "holds",
        sentence=f"Theory says {first['predicted']:.4g} times, but the runs of "
        f"{listed(spoken(t['framework']) for t in missed)} say otherwise."
        if missed
        else f"By {first['predicted']:.4g} on this regression, just as 2/(lr·curvature) predicts.",
        evidence=f"lr {first['lr']:g}, largest curvature {first['curvature']:.5g}, predicted {first['predicted']:.5g}; "
        f"{brackets}.",
        advice="Keep lr times the factor on the loss below 2 / largest curvature; with momentum μ the limit is "
        "2(1+μ) / largest curvature.",
        figure="threshold",
    )
