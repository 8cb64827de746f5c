"""Verdict on the boundary of stability over a plane of learning rates and loss scales."""

from __future__ import annotations

from parity.report.data import PhaseDiagram, Verdict

from .words import figure, listed, percent, spoken

TOLERATED = 0.005
"""Share of runs that may lie on the wrong side: a run within a cell of the boundary decides slowly. A convention: a
boundary that is off by one cell of 128 misplaces 0.8 %."""


def boundary(diagrams: list[PhaseDiagram]) -> Verdict:
    """Whether runs lose stability where theory says, for every rule."""
    if not diagrams:
        raise ValueError("no phase diagram was measured: a verdict on nothing would be none")
    shares = {d["rule"]: d["misplaced"] / (len(d["lr"]) * len(d["alpha"])) for d in diagrams}
    off = [spoken(rule) for rule, share in shares.items() if not share <= TOLERATED]
    runs = sum(len(d["lr"]) * len(d["alpha"]) for d in diagrams)
    diverging = [spoken(d["rule"]) for d in diagrams if any("d" in row for row in d["outcome"])]
    return Verdict(
        id="phase-diagram",
        question="Does theory know at which lr and which scale of the loss training stops converging?",
        outcome="fails" if off else "holds",
        sentence=f"No: for {listed(off)} the line is in the wrong place."
        if off
        else f"Yes, on a quadratic, for {listed(spoken(rule) for rule in shares)}. Beyond the line {listed(diverging)} "
        "diverges; a rule that divides by the gradient's size swings about the minimum instead.",
        evidence=f"{runs} runs; on the wrong side of the line: "
        + "; ".join(f"{spoken(rule)} {percent(share)}" for rule, share in shares.items())
        + ". The line is α·lr = "
        + "; ".join(f"{figure(d['boundary'])} for {spoken(d['rule'])}" for d in diagrams)
        + ".",
        advice="lrtheory explain SPEC prints the largest curvature that an optimizer with its numbers survives.",
        figure="phase-diagram",
    )
