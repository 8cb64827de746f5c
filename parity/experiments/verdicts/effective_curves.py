"""Verdicts on nominal and effective lr: Adam under a constant lr, and StepLR."""

from __future__ import annotations

from parity.report.data import Verdict

from ..effective_curves import EPOCHS, HALVE_EVERY, AdamNominal, StepSchedule
from .words import figure, listed, spoken

MOVES = 1.01
"""An effective lr moves if its largest value is at least this many times its smallest."""

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
        else "No. "
        + ("The effective lr stays put as well." if still else f"The nominal lr itself took {len(nominal)} values."),
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
    answers = {
        "holds": "Yes, at once and over the epochs that follow.",
        "depends": "At once, yes: the first step at the halved lr is half as long. Over the epochs that follow, steps "
        "change by what the gradients do as well.",
        "fails": "No: not even the first step at the halved lr is half as long.",
    }
    rules = dict.fromkeys(h.rule for h in found.halvings)
    means = {rule: [h for h in found.halvings if h.rule == rule] for rule in rules}
    worst = max(abs(h.at_once - 0.5) for h in found.halvings)
    return Verdict(
        id="step-schedule",
        question=f"When StepLR halves the lr after {HALVE_EVERY} epochs, do the realised steps halve?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence=f"First step after the drop: one half of the undropped one within {figure(worst)}. Epochs "
        f"{HALVE_EVERY + 1} to {EPOCHS}, mean step: "
        + "; ".join(
            f"{spoken(rule)} {hs[0].before:.2g} of the epochs before, {hs[0].later:.2g} of the same epochs without "
            "the drop"
            for rule, hs in means.items()
        )
        + f" ({listed(spoken(h.framework) for h in found.halvings)}).",
        advice="Read a schedule as a factor on each step, not as the size of the steps; plot ‖Δθ‖ beside lr.",
        figure="schedule",
    )
