"""lr against the scale of the loss: where training on a quadratic converges, oscillates or diverges, and where theory says.

One parameter, L(θ) = α·θ²/2, so that the curvature is α; from θ = 0.1, which the smallest lr of an adaptive rule crosses
in time. SGD's boundary is α·lr = 2. The adaptive rules divide by √v + eps, and v falls with the gradient until eps is all
that is left; then the curvature that counts is α/eps. Beyond the boundary they do not diverge, since a step is never much
longer than lr, but end in a cycle.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import rules, sweep
from lrtheory.rules import Rule
from lrtheory.theory import stability
from lrtheory.words import figure, listed, percent, spoken

from ..measured import PhaseDiagram, Verdict

SIDE = 128
STEPS = 1000
WINDOWS = (range(450, 500), range(951, 1001))
"""Steps in which the loss is looked at: enough to see the top of an oscillation."""
START = 0.1
LR = (1e-3, 10.0)
ALPHA = (1e-3, 1e3)
EPS = 1e-2
RULES: tuple[tuple[str, Rule, dict[str, float]], ...] = (
    ("sgd", rules.sgd(), {}),
    ("adam", rules.adam(), {"beta2": 0.9, "eps": EPS}),
    ("rmsprop", rules.rmsprop(), {"alpha": 0.9, "eps": EPS}),
)
CONVERGED = 1e-12
"""Of the first loss: what is below it has reached rounding."""


def square(theta: jax.Array, batch: None) -> jax.Array:
    """A quadratic of curvature 1."""
    return jnp.sum(theta * theta) / 2


def measure() -> list[PhaseDiagram]:
    """A diagram of :data:`SIDE` × :data:`SIDE` runs for each rule."""
    return [diagram(label, rule, numbers, SIDE) for label, rule, numbers in RULES]


def diagram(label: str, rule: Rule, numbers: dict[str, float], side: int = SIDE) -> PhaseDiagram:
    """Every run of one rule in one compiled program, and the boundary that theory draws."""
    began = time.perf_counter()
    lrs, alphas = np.geomspace(*LR, side), np.geomspace(*ALPHA, side)
    with jax.enable_x64(True):
        found = sweep.run(
            square,
            jnp.full(1, START),
            None,
            sweep.grid(rule=rule, loss_scale=alphas, lr=lrs, **numbers),
            steps=STEPS,
            record=(1, *WINDOWS[0], *WINDOWS[1]),
            explode=1e30,
        )
    first, early, late = np.split(found.values["loss"].reshape(side, side, -1), (1, 1 + len(WINDOWS[0])), axis=-1)
    outcome = outcomes(first[..., 0], early, late)
    boundary = critical_product(rule, numbers)
    return PhaseDiagram(
        rule=label,
        numbers=dict(numbers),
        lr=lrs.tolist(),
        alpha=alphas.tolist(),
        outcome=["".join(row) for row in outcome],
        boundary=boundary,
        misplaced=misplaced(outcome, np.outer(alphas, lrs), boundary),
        steps=STEPS,
        seconds=round(time.perf_counter() - began, 2),
    )


def outcomes(first: np.ndarray, early: np.ndarray, late: np.ndarray) -> np.ndarray:
    """What became of runs, from their first loss and their losses in two windows, which have a last axis of steps.

    ``d``: not a number in the end, or above the first loss and ten times what it was in the early window. ``c``: at half or
    less of it, at rounding, or falling at every step, as a slow run does. ``o``: neither.
    """
    with np.errstate(invalid="ignore"):
        before, after = early.max(axis=-1), late.max(axis=-1)
        diverges = ~np.isfinite(after) | ((after > first) & (after > 10 * before))
        lower = late[..., -1] < (1 - 1e-6) * late[..., 0]  # in RMSprop's cycle the loss is the same at every step
        steadily = lower & (np.diff(late, axis=-1) <= 0).all(axis=-1)
        falls = (after <= before / 2) | (after <= CONVERGED * first) | steadily
    return np.where(diverges, "d", np.where(falls, "c", "o"))


def critical_product(rule: Rule, numbers: dict[str, float]) -> float:
    """α·lr at which the rule loses stability on this quadratic, by :func:`lrtheory.theory.stability.threshold`."""
    curvature = stability.threshold(rule, rule.hyper(lr=1.0, **numbers)).curvature
    assert curvature is not None
    return curvature * numbers.get("eps", 1.0)


def misplaced(outcome: np.ndarray, product: np.ndarray, boundary: float) -> int:
    """Runs on the wrong side of the boundary: those that converge beyond it, or do not before."""
    return int(np.sum((outcome == "c") != (product < boundary)))


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
        advice="lrtheory explain SPEC prints the largest curvature at which an optimizer is stable.",
        figure="phase-diagram",
    )
