"""The phase diagram: lr against the scale of the loss."""

from __future__ import annotations

import itertools

from ..measured import PhaseDiagram
from .figure import Block, Figure, Key, Panel, log_axis, name, number, rounded

WORDS = {"c": "converge", "o": "oscillate", "d": "diverge"}


def phase_figure(diagrams: list[PhaseDiagram]) -> Figure:
    """Where runs converge, oscillate or diverge, with the boundary that theory draws."""
    runs = sum(len(d["lr"]) * len(d["alpha"]) for d in diagrams)
    return Figure(
        id="phase-diagram",
        title="Where it converges, oscillates and diverges",
        reading=f"Each of {runs} runs has its own lr and its own factor α on the loss, a quadratic of curvature 1. The "
        "dashed line is where theory says that stability is lost: α·lr = 2 for SGD; for Adam and RMSprop, whose √v falls "
        "until eps is left, α·lr is a multiple of eps. They do not diverge beyond it: a step is hardly longer than lr.",
        panels=[_panel(diagram) for diagram in diagrams],
        keys=[
            Key("converges", "c0", "thick"),
            Key("oscillates", "c4", "thick"),
            Key("diverges", "c1", "thick"),
            Key("boundary by theory", "ink", "dashed"),
        ],
    )


def _panel(diagram: PhaseDiagram) -> Panel:
    lrs, alphas = diagram["lr"], diagram["alpha"]
    cells: Block = {key: [] for key in ("lr_low", "lr_high", "alpha_low", "alpha_high", "alpha", "outcome", "words")}
    x, y = _edges(lrs), _edges(alphas)
    for row, outcomes in enumerate(diagram["outcome"]):
        start = 0
        for outcome, stretch in itertools.groupby(outcomes):
            stop = start + len(list(stretch))
            values = (x[start], x[stop], y[row], y[row + 1], alphas[row])
            for key, value in zip(("lr_low", "lr_high", "alpha_low", "alpha_high", "alpha"), values, strict=True):
                cells[key].append(rounded(value))
            cells["outcome"].append(outcome)
            cells["words"].append(WORDS[outcome])
            start = stop
    edge: Block = {
        "edge_lr": [rounded(lrs[0]), rounded(lrs[-1])],
        "edge_alpha": [rounded(diagram["boundary"] / lrs[0]), rounded(diagram["boundary"] / lrs[-1])],
    }
    params = log_axis([x], axis="x", margin=1.0) | log_axis([y], margin=1.0)
    given = ", ".join(f"{key} {number(value)}" for key, value in diagram["numbers"].items())
    notes = [
        f"boundary α·lr = {number(diagram['boundary'])}; {diagram['misplaced']} of {len(lrs) * len(alphas)} runs of "
        f"{diagram['steps']} steps on its other side",
        *([given] if given else []),
    ]
    return Panel(name(diagram["rule"]), "phases", [cells, edge], params, notes, height=230)


def _edges(values: list[float]) -> list[float]:
    """Edges of cells around values that are evenly spaced in the logarithm."""
    half = (values[-1] / values[0]) ** (0.5 / (len(values) - 1)) if len(values) > 1 else 2.0
    return [values[0] / half, *(value * half for value in values)]
