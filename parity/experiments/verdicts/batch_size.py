"""Verdicts on the batch size: what a sum of gradients is, and what it does to a step."""

from __future__ import annotations

import numpy as np

from parity.report.data import BatchRun, Verdict

from ..batch_size import REDUCTIONS, BatchSize
from .words import figure, listed, spoken

ROUNDING = 1e-12
"""Of the largest coordinate: what adding 512 float64 gradients in another order may cost, with a wide margin."""

GROWS = 2.0
"""A step that is this many times as large from a batch 16 times as large is said to grow: between ×1 and ×16."""


def accumulation(found: BatchSize) -> Verdict:
    """Whether repeated ``backward()`` calls add up to B times the mean gradient."""
    if not found.law_error or not found.accumulation_error:
        raise ValueError("no gradients were compared")
    worst = float(np.max([*found.law_error.values(), *found.accumulation_error.values()]))  # nan stays nan
    adds = worst <= ROUNDING
    return Verdict(
        id="batch-accumulation",
        question="Do B calls of backward() before one step add the gradients up?",
        outcome="holds" if adds else "fails",
        sentence="Yes. They leave the gradient of the summed loss, B times that of the mean."
        if adds
        else "No. What they leave is neither the gradient of the summed loss nor B times that of the mean.",
        evidence=f"Largest difference {figure(worst)} of the largest coordinate, over batches of up to "
        f"{max(run['batch'] for run in found.runs)} in {listed(map(spoken, found.law_error))}; "
        f"at most {ROUNDING:g} is rounding.",
        advice="When you accumulate gradients, divide each loss by the number of examples (not of micro-batches, "
        "unless they are equally large), or divide lr for SGD.",
        figure="batch",
    )


def sgd_step(found: BatchSize) -> Verdict:
    """Whether SGD's step grows with the batch, summed and averaged."""
    summed, averaged = (_largest(found.runs, REDUCTIONS[reduction]) for reduction in ("sum", "mean"))
    off = [
        abs(run["step_ratio"] / run["predicted_ratio"] - 1)
        for run in found.runs
        if run["reduction"] == REDUCTIONS["sum"] and run["predicted_ratio"]
    ]
    grow = [run["step_ratio"] > GROWS for run in (summed, averaged)]
    outcome = "holds" if all(grow) else "depends" if any(grow) else "fails"
    answers = {
        "holds": "Yes, whether gradients are summed or averaged.",
        "depends": "It depends: gradients that are summed make it grow, averaged ones do not."
        if grow[0]
        else "It depends: gradients that are averaged make it grow, summed ones do not.",
        "fails": "No, whether gradients are summed or averaged.",
    }
    return Verdict(
        id="batch-step-sgd",
        question="Does a larger batch make SGD's step larger?",
        outcome=outcome,
        sentence=answers[outcome],
        evidence=f"From {_smallest(found.runs)} to {summed['batch']} examples the step becomes "
        f"{summed['step_ratio']:.3g} times as long when summed (B times the mean gradient says the same within "
        f"{figure(max(off))}), and {averaged['step_ratio']:.3g} times when averaged; the mean gradient itself changes "
        "with the sample.",
        advice="Average over the batch, or divide lr by the batch size when you sum. With the mean, one example's share "
        "of the step falls as 1/B.",
        figure="batch",
    )


def adam_step(found: BatchSize) -> Verdict:
    """Whether Adam's step grows with the batch."""
    ratios = [run["step_ratio"] for run in found.runs if run["reduction"].endswith(", Adam")]
    grows = max(ratios) > GROWS
    return Verdict(
        id="batch-step-adam",
        question="Does a larger batch make Adam's step larger?",
        outcome="holds" if grows else "fails",
        sentence="Yes, as with SGD."
        if grows
        else "No. Adam's first step has the same length from every batch size, summed or averaged.",
        evidence=f"Over the step from {_smallest(found.runs)} examples: between {min(ratios):.9g} and "
        f"{max(ratios):.9g} times, summed and averaged, in both frameworks.",
        advice="Adam needs no division by the batch size. A larger batch gives it a less noisy direction: the usual "
        "scaling is lr·√κ for κ times the batch.",
        figure="batch",
    )


def _largest(runs: list[BatchRun], reduction: str) -> BatchRun:
    return max((run for run in runs if run["reduction"] == reduction), key=lambda run: run["batch"])


def _smallest(runs: list[BatchRun]) -> int:
    return min(run["batch"] for run in runs)
