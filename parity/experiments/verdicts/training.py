"""Verdicts on the real model: agreement of the frameworks, and what its layers train with."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from parity.report.data import Curve, Layer, Training, Verdict

from ...training import BEYOND_ROUNDING
from .words import figure, listed, percent, spoken

GUIDE = 1e-3
"""Relative update of a healthy layer: a rule of thumb, no law."""

NOTICEABLE = 0.01
"""Share of eps-dominated coordinates from which eps has a say in how a layer trains: a convention."""

AS_SET = 0.1
"""An effective lr within this of the nominal one, relatively, is what was set."""


def agreement(runs: list[Training]) -> Verdict:
    """Whether both frameworks train the same, step for step."""
    double = [run for run in runs if run["dtype"] == "float64"]
    if not double:
        raise ValueError("no run in float64 to compare the frameworks by")
    worst = max(double, key=lambda run: run["largest_difference"])
    off = [run for run in double if not run["largest_difference"] <= BEYOND_ROUNDING]
    single = [run["largest_difference"] for run in runs if run["dtype"] == "float32"]
    evidence = (
        f"Largest difference of any parameter at any of {worst['steps']} steps: {figure(worst['largest_difference'])} of "
        f"the distance travelled ({_label(worst)}), over {len(double)} runs in float64 with at most "
        f"{BEYOND_ROUNDING:g} allowed."
    )
    if single:
        evidence += f" In float32, where rounding is 5e8 times coarser: {figure(max(single))}."
    return Verdict(
        id="frameworks-agree",
        question="Do JAX and PyTorch train the same model, step for step?",
        outcome="fails" if off else "holds",
        sentence="No: " + listed(f"{_label(run)} differs from step {run['first_difference_step']}" for run in off) + "."
        if off
        else "Yes. Each with its own gradients, rule and schedule, they stay together to the last digits.",
        evidence=evidence,
        advice="Look for the first step that differs: a wrong rule differs from step 1 or 2, a wrong schedule where "
        "the lr first moves."
        if off
        else "A model may be moved between the two with the same numbers; start it from the same weights and batches.",
        figure="training",
    )


def effective_lr(runs: list[Training]) -> Verdict:
    """Whether layers train with the lr that was set."""
    ratios = {
        (run["rule"], layer["name"]): _last(layer["q50"]) / _last(run["nominal_lr"])
        for run in _constant(runs)
        for layer in run["layers"]
    }
    as_set = [abs(ratio - 1) <= AS_SET for ratio in ratios.values()]
    outcome = "holds" if all(as_set) else "depends" if any(as_set) else "fails"
    (low_rule, low), (high_rule, high) = (
        (key, ratio)
        for key, ratio in (min(ratios.items(), key=lambda i: i[1]), max(ratios.items(), key=lambda i: i[1]))
    )
    answers = {
        "holds": "Yes, in every layer and with every rule.",
        "depends": f"In {sum(as_set)} of {len(as_set)} cases; elsewhere it is up to {figure(high)} times as large.",
        "fails": f"No, in no layer: the median effective lr is {figure(low)} to {figure(high)} times the lr that is set.",
    }
    return Verdict(
        id="effective-lr",
        question="Is the lr that I set the lr that my layers train with?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence=f"Median effective over nominal lr at the last step, constant lr: smallest {figure(low)} "
        f"({low_rule[1]}, {spoken(low_rule[0])}), largest {figure(high)} ({high_rule[1]}, {spoken(high_rule[0])}).",
        advice="Compare layers by their effective lr. Momentum 0.9 makes SGD's ten times the nominal one; adaptive rules "
        "give most where gradients are smallest.",
        figure="heat-map",
    )


def hardly_learning(runs: list[Training]) -> Verdict:
    """Which layers' relative update is below the rule of thumb."""
    typical = {(run["rule"], layer["name"]): _typical(layer) for run in _constant(runs) for layer in run["layers"]}
    slow = {key: value for key, value in typical.items() if value < GUIDE}
    outcome = "holds" if not slow else "fails" if len(slow) == len(typical) else "depends"
    lowest = min(typical.items(), key=lambda item: item[1])
    answers = {
        "holds": f"Yes: in a typical step every layer changes by more than {GUIDE:g} of its norm.",
        "depends": f"Most do. In a typical step less than {GUIDE:g} of its norm is changed of {_by_layer(slow)}.",
        "fails": f"Hardly: in a typical step no layer changes by more than {GUIDE:g} of its norm.",
    }
    return Verdict(
        id="hardly-learning",
        question="Do all layers learn?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence=f"Median over the run of ‖Δθ‖/‖θ‖, constant lr: {len(slow)} of {len(typical)} below {GUIDE:g}, which is "
        f"a heuristic; the lowest is {figure(lowest[1])} ({lowest[0][1]}, {spoken(lowest[0][0])}).",
        advice="Give a layer far below the rest a larger lr of its own. Scales of norm layers start at 1 and need to move "
        "little: for them a low figure is no alarm.",
        figure="relative-update",
    )


def eps_dominated(runs: list[Training]) -> Verdict:
    """Whether eps decides how some coordinates train."""
    shares = {
        (run["rule"], layer["name"]): _last(layer["eps_dominated"])
        for run in _constant(runs)
        if run["rule"] in ("adam", "adamw", "rmsprop")
        for layer in run["layers"]
    }
    if not shares:
        raise ValueError("no run of a rule with eps")
    noticeable = {key: share for key, share in shares.items() if share >= NOTICEABLE}
    outcome = "holds" if not noticeable else "fails" if len(noticeable) == len(shares) else "depends"
    (rule, layer), largest = max(shares.items(), key=lambda item: item[1])
    answers = {
        "holds": "Yes: no layer has a noticeable share of coordinates whose √v̂ is below eps.",
        "depends": f"Not in {listed(name for _, name in noticeable)}: there eps is above √v̂ for up to "
        f"{percent(largest)} of the coordinates. Elsewhere, yes.",
        "fails": f"No: every layer has coordinates whose √v̂ is below eps, up to {percent(largest)} of them.",
    }
    return Verdict(
        id="eps-dominated",
        question="Is eps negligible?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence=f"Share of coordinates with √v̂ below eps at the last step: at most {percent(largest)} ({layer}, "
        f"{spoken(rule)}); {len(noticeable)} of {len(shares)} pairs of layer and rule are above {percent(NOTICEABLE)}.",
        advice="Coordinates without any gradient, such as the weights of pixels that never change, count here and do no "
        "harm. If others join them, lower eps: their effective lr is capped at lr/eps.",
        figure="effective-lr",
    )


def _constant(runs: list[Training]) -> list[Training]:
    chosen = [run for run in runs if run["schedule"] == "constant" and run["dtype"] == "float64"]
    if not chosen:
        raise ValueError("no run at a constant lr in float64")
    return chosen


def _label(run: Training) -> str:
    return f"{run['model']}, {spoken(run['rule'])}, {run['schedule']} lr"


def _by_layer(keys: Iterable[tuple[str, str]]) -> str:
    rules: dict[str, list[str]] = {}
    for rule, layer in keys:
        rules.setdefault(layer, []).append(spoken(rule))
    return listed(f"{layer} ({', '.join(of_layer)})" for layer, of_layer in rules.items())


def _typical(layer: Layer) -> float:
    return median(value for value in layer["relative_update"] if value is not None)


def _last(curve: Curve) -> float:
    value = curve[-1]
    return float("nan") if value is None else value
