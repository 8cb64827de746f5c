"""Verdicts on a loss that is multiplied by ten, and on the factor at which SGD diverges."""

from __future__ import annotations

import math
from collections.abc import Iterable

from parity.report.data import LossScaleRun, Threshold, Verdict

from ...training import BEYOND_ROUNDING
from ..loss_scaling import AS_IS, CORRECTED, LR_DIVIDED, SAME_LR
from .words import figure, listed, spoken

UNDONE = BEYOND_ROUNDING
"""Share of the distance travelled within which a scaled run counts as the unscaled one."""

HARDLY = 1e-2
"""The same for a difference that nobody sees in a loss curve: a convention."""


def distances(runs: Iterable[LossScaleRun], rule: str, variant: str) -> dict[str, float]:
    """Largest distance from the unscaled run by problem, over the frameworks; inf where one diverged.

    Raises
    ------
    ValueError
        If there is no such run: a verdict on nothing would be none.
    """
    found: dict[str, float] = {}
    for run in runs:
        if (run["rule"], run["variant"]) == (rule, variant):
            apart = math.inf if run["distance"] is None else run["distance"]
            found[run["problem"]] = max(apart, found.get(run["problem"], 0.0))
    if not found:
        raise ValueError(f"no run of {rule} with {variant}")
    return found


def correction(runs: Iterable[LossScaleRun], rule: str) -> str:
    """What the corrected run changed, such as ``eps 1e-08 → 1e-07``."""
    hyper = {run["variant"]: run["hyper"] for run in runs if run["rule"] == rule}
    before, after = hyper[AS_IS], hyper[CORRECTED]
    changed = [f"{name} {before[name]:.3g} → {after[name]:.3g}" for name in before if before[name] != after[name]]
    return listed(changed)


def dividing_lr(runs: list[LossScaleRun], rule: str) -> Verdict:
    """Whether lr/10 undoes a loss times ten."""
    divided, nothing, corrected = (
        max(distances(runs, rule, variant).values()) for variant in (LR_DIVIDED, SAME_LR, CORRECTED)
    )
    name, remedy = spoken(rule), correction(runs, rule)
    undone = divided <= UNDONE
    if undone:
        sentence = f"Yes. With {name}, a loss ten times as large and a tenth of the lr train exactly as before."
        advice = "When you multiply the loss by a factor, divide lr (and multiply weight decay) by it."
    elif corrected <= UNDONE:
        sentence = f"No. With {name}, a tenth of the lr trains another model; what undoes the factor is {remedy}."
        advice = f"Leave {name}'s lr alone when you rescale the loss; multiply eps by the factor."
    else:
        sentence = f"No. With {name}, neither a tenth of the lr undoes the factor, nor does {remedy}."
        advice = "Do not rescale the loss of this rule, or tune it anew."
    return Verdict(
        id=f"loss-scale-{rule}",
        question=f"Does dividing lr by ten undo a loss ten times as large, with {name}?",
        outcome="holds" if undone else "fails",
        sentence=sentence,
        evidence=f"Largest distance of a parameter from the unscaled run, over its travel: {figure(divided)} with lr/10, "
        f"{figure(nothing)} with nothing changed"
        + ("" if undone else f", {figure(corrected)} with {remedy}")
        + f". Equal means at most {UNDONE:g}. "
        "Linear regression, JAX and PyTorch, the worse of the two.",
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
        else f"Yes, for {rules}: each has numbers that make the scaled run the unscaled one.",
        evidence=f"Largest distance from the unscaled run with corrected numbers: {figure(worst)} of the travel, over "
        f"{len(apart)} pairs of rule and problem, in JAX and PyTorch.",
        advice="Take the numbers from lrtheory.rescale(rule, hyper, loss=10), or from lrtheory explain: lr/10 for SGD, "
        "eps·10 for Adam and RMSprop.",
        figure="loss-scale",
    )


def noticing(runs: list[LossScaleRun], rule: str = "adam") -> Verdict:
    """Whether an adaptive rule with its default eps is blind to a loss times ten."""
    apart = distances(runs, rule, SAME_LR)
    worst, name = max(apart.values()), spoken(rule)
    outcome = "holds" if worst <= UNDONE else "depends" if worst <= HARDLY else "fails"
    answers = {
        "holds": f"Yes: {name} trains as before, to rounding.",
        "depends": f"Nearly: {name} with the eps it has notices the factor, but only a little.",
        "fails": f"No: with the eps it has, {name} trains to another result.",
    }
    return Verdict(
        id=f"loss-scale-blind-{rule}",
        question=f"Is {name} blind to the scale of the loss?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence="Largest distance from the unscaled run with a loss ten times as large and nothing changed: "
        + "; ".join(f"{figure(distance)} of the travel on {problem}" for problem, distance in apart.items())
        + ". The first step changes by eps/√v̂ at most, so small gradients or a large eps make it more.",
        advice="With the default eps of 1e-8 there is nothing to do. With a large eps, or with gradients near it, "
        "multiply eps by the factor.",
        figure="loss-scale",
    )


def divergence(thresholds: list[Threshold]) -> Verdict:
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
        else f"By {first['predicted']:.4g} on this regression, as 2/(lr·curvature) predicts.",
        evidence=f"lr {first['lr']:g}, largest curvature {first['curvature']:.5g}, predicted {first['predicted']:.5g}; "
        f"{brackets}.",
        advice="Keep lr times the loss's factor below 2 over the largest curvature; with momentum μ the limit is "
        "2(1+μ) over it.",
        figure="threshold",
    )
