"""Verdicts on numbers that were set anew for another loss or another batch, and on what people say."""

from __future__ import annotations

import math

from parity.report.data import ChangedRun, Claim, Verdict

from ...training import BEYOND_ROUNDING
from ..what_to_change import RESCALED, SAME_NUMBERS
from .words import figure, listed, percent, spoken

HALVED = 0.5
"""A batch rule is said to work if it takes off half of the gap that unchanged numbers leave: a convention."""


def loss(runs: list[ChangedRun]) -> Verdict:
    """Whether the rescaled numbers give the run with the loss as it was."""
    chosen = [run for run in runs if run["change"].startswith("loss")]
    if not chosen:
        raise ValueError("no run with another loss: a verdict on nothing would be none")
    apart = {(run["rule"], run["framework"]): run["distance"] for run in chosen if run["variant"] == RESCALED}
    kept = {run["rule"]: run["distance"] for run in chosen if run["variant"] == SAME_NUMBERS}
    off = [f"{spoken(rule)} in {spoken(framework)}" for (rule, framework), d in apart.items() if _beyond(d)]
    bits = all(distance == 0 for distance in apart.values())
    change = chosen[0]["change"].removeprefix("loss ×")
    return Verdict(
        id="change-loss",
        question=f"The loss is {change} times as large: what do I set to train the same model?",
        outcome="fails" if off else "holds",
        sentence=f"Not what lrtheory.rescale says: {listed(off)} train another model."
        if off
        else "What lrtheory.rescale says: "
        + "; ".join(f"{spoken(rule)} {_changed(chosen, rule)}" for rule in kept)
        + (". The runs are the same bit for bit." if bits else ". The runs are the same to rounding."),
        evidence="Largest distance from the run as it was, over its travel: "
        + "; ".join(f"{spoken(r)} in {spoken(f)} {_far(d)}" for (r, f), d in apart.items())
        + ". With the numbers kept: "
        + "; ".join(f"{spoken(rule)} {_far(distance)}" for rule, distance in kept.items())
        + ".",
        advice=f'lrtheory explain "torch.optim.Adam(lr=3e-3)" --loss-scale {change} prints the numbers, and code to paste.',
        figure="what-to-change",
    )


def batch(runs: list[ChangedRun]) -> Verdict:
    """Whether the rescaled numbers bring the loss over the examples seen near that of the smaller batch."""
    chosen = [run for run in runs if run["change"].startswith("batch")]
    gaps = {run["rule"]: run["gap"] for run in chosen if run["variant"] == RESCALED}
    kept = {run["rule"]: run["gap"] for run in chosen if run["variant"] == SAME_NUMBERS}
    chance = {run["rule"]: run["spread"] for run in chosen if run["spread"] is not None}
    if not gaps:
        raise ValueError("no run with another batch: a verdict on nothing would be none")
    left = {rule: math.inf if gap is None else gap for rule, gap in kept.items()}  # None: it left the numbers
    failed = [rule for rule, gap in gaps.items() if gap is None or not gap <= HALVED * left[rule]]
    within = not failed and all((gap or 0.0) <= 3 * (chance[rule] or 0.0) for rule, gap in gaps.items())
    change = chosen[0]["change"].removeprefix("batch ×")
    methods = {run["rule"]: run["method"] for run in chosen}
    if failed:
        sentence = f"The rule for the batch does not help {listed(spoken(rule) for rule in failed)} here."
    elif within:
        sentence = "Over the examples seen the loss falls as before, as far as chance lets it be told."
    else:
        sentence = (
            "Nearly what was learned before: rescaled numbers take off at least half of the gap that unchanged numbers "
            "leave, but not all of it."
        )
    return Verdict(
        id="change-batch",
        question=f"The batch is {change} times as large: what do I set to learn as much from an example?",
        outcome="fails" if failed else "holds" if within else "depends",
        sentence=sentence,
        evidence="Typical factor between the losses: "
        + "; ".join(
            f"{spoken(rule)} {_factor(gaps[rule])} rescaled ({methods[rule]} rule: {_changed(chosen, rule)}), "
            f"{_factor(kept[rule])} with the numbers kept, {_factor(chance[rule])} by chance"
            for rule in gaps
        )
        + ".",
        advice=f'lrtheory explain "torch.optim.Adam(lr=3e-3)" --batch-scale {change} prints the numbers, how exact they are '
        "and under which conditions. Warm up, and check the first epoch.",
        figure="what-to-change",
    )


def claims(rows: list[Claim]) -> Verdict:
    """How many of the things people say are true."""
    if not rows:
        raise ValueError("no claim was decided")
    counts = {word: sum(row["decision"] == word for row in rows) for word in ("true", "false", "depends")}
    failed = [row["claim"] for row in rows if not row["holds"]]
    return Verdict(
        id="claims",
        question="Is it true what people say about learning rates?",
        outcome="fails" if failed else "depends",
        sentence=f"The decision on {len(failed)} of them is not borne out: {failed[0]}"
        if failed
        else f"Of {len(rows)} common sentences {counts['true']} are true, {counts['false']} are false, and "
        f"{counts['depends']} are true of some rules only.",
        evidence=f"{percent(1 - len(failed) / len(rows))} of the decisions are borne out by their checks in this run.",
        advice="Read in the table of which rules a sentence is true; lrtheory laws claims has the evidence.",
        figure="claims",
    )


def _beyond(distance: float | None) -> bool:
    return distance is None or not distance <= BEYOND_ROUNDING


def _far(distance: float | None) -> str:
    return "diverges" if distance is None else figure(distance)


def _factor(gap: float | None) -> str:
    return "without bound" if gap is None else f"{math.exp(gap):.3g}"


def _changed(runs: list[ChangedRun], rule: str) -> str:
    """What the rescaled run changed, such as ``eps 1e-08 → 1.28e-06``."""
    hyper = {run["variant"]: run["hyper"] for run in runs if run["rule"] == rule}
    before, after = hyper[SAME_NUMBERS], hyper[RESCALED]
    return listed(f"{k} {before[k]:.3g} → {after[k]:.3g}" for k in before if before[k] != after[k])
