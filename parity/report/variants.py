"""Figures of a run beside variants of it: who coincides with the run as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lrtheory.pages.figure import Figure, Key, Panel, Table, lines, log_axis, positive
from lrtheory.words import number, spoken

from ..measured import ChangedRun, LossScaleRun
from .charts import VARIANT_COLOURS, VARIANT_DASHES

COINCIDES = 1e-9
"""Runs no farther apart than this share of the travel are said to coincide; rounding leaves about 1e-12 at most."""


def loss_scale_figure(runs: list[LossScaleRun]) -> Figure:
    """The unscaled run, and the scaled ones that should or should not coincide with it."""
    several = len({run["problem"] for run in runs}) > 1
    ordered = sorted(runs, key=lambda run: run["alpha"] != 1)
    variants = list(dict.fromkeys(run["variant"] for run in ordered))
    groups: dict[str, list[LossScaleRun]] = {}
    for run in ordered:
        title = f"{spoken(run['rule'])}, {spoken(run['framework'])}"
        groups.setdefault(f"{run['problem']}: {title}" if several else title, []).append(run)
    table = Table.of(
        "Travel is the largest distance that a parameter moves.",
        runs,
        {
            "Problem, rule, framework": lambda run: (
                f"{run['problem']}, {spoken(run['rule'])}, {spoken(run['framework'])}"
            ),
            "Variant": lambda run: run["variant"],
            "α": lambda run: number(run["alpha"]),
            "Hyperparameters": hyperparameters,
            "Distance from the unscaled run, of travel": lambda run: (
                "diverges" if run["diverged"] else number(run["distance"], 2)
            ),
        },
    )
    return Figure(
        id="loss-scale",
        title="The loss times α, uncorrected and corrected",
        reading="Losses are divided by α again, so that runs can be compared. A correction undoes the scaling where its line "
        "lies on the broad line of the unscaled run.",
        panels=[_panel(title, "losses", group, variants, _fate, cap=1e3, span=1e9) for title, group in groups.items()],
        keys=_keys(variants),
        tables=[table] if runs else [],
        layout="pairs",
    )


def what_to_change_figure(runs: list[ChangedRun]) -> Figure:
    """Predicted and measured curves for another loss and another batch, and the hyperparameters before and after."""
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    groups: dict[str, list[ChangedRun]] = {}
    for run in runs:
        groups.setdefault(f"{spoken(run['rule'])}, {run['change']}", []).append(run)
    shown = {title: [r for r in group if r["framework"] == group[0]["framework"]] for title, group in groups.items()}
    table = Table.of(
        "Hyperparameters that lrtheory.rescale gives, and how far the runs are apart.",
        [run for run in runs if run["variant"] != variants[0]],
        {
            "Rule, change, framework": lambda run: (
                f"{spoken(run['rule'])}, {run['change']}, {spoken(run['framework'])}"
            ),
            "Variant": lambda run: run["variant"],
            "Hyperparameters": hyperparameters,
            "Exactness of the rescaled": lambda run: (
                run["exactness"] + (f", {run['method']} rule" if run["method"] else "")
            ),
            "Against the run as it is": _apart,
        },
    )
    return Figure(
        id="what-to-change",
        title="Another loss, another batch: what to set, predicted and measured",
        reading="The broad line is the run as it is. It is also the prediction for the rescaled run: the same curve over "
        "the examples seen. For another loss the rescaled run must meet it bit for bit. For another batch, fed the same "
        "examples, it must meet it to first order in the lr, averaged over draws of the batches.",
        panels=[
            _panel(title, "losses-by-example", group, variants, _apart, cap=1e2, span=1e6)
            for title, group in shown.items()
        ],
        keys=[
            Key(f"{key.label}: the prediction" if not order else key.label, key.colour, key.line)
            for order, key in enumerate(_keys(variants))
        ],
        tables=[table] if runs else [],
        layout="pairs",
    )


def hyperparameters(run: Any) -> str:
    """Those that are shown of a run."""
    return ", ".join(f"{key} {number(value)}" for key, value in run["hyper"].items())


def _panel(
    title: str, chart: str, group: list, variants: list[str], tell: Callable[[Any], str], *, cap: float, span: float
) -> Panel:
    """One run and its variants, the run as it is first; what diverges leaves the picture upwards."""
    start = next((value for value in positive(group[0]["loss"]) if value is not None), 1.0)
    blocks = [
        lines(
            run.get("examples") or range(1, len(run["loss"]) + 1),
            value=run["loss"],
            variant=run["variant"],
            order=variants.index(run["variant"]) % len(VARIANT_COLOURS),
        )
        for run in group
    ]
    axis = log_axis((positive(run["loss"]) for run in group), cap=cap * start, span=span)
    return Panel(title, chart, blocks, axis, [f"{run['variant']}: {tell(run)}" for run in group[1:]])


def _keys(variants: list[str]) -> list[Key]:
    keys = []
    for order, variant in enumerate(variants):
        colour = VARIANT_COLOURS[order % len(VARIANT_COLOURS)]
        dash = VARIANT_DASHES[order % len(VARIANT_COLOURS)]
        line = "solid" if dash == [1, 0] else "dotted" if dash[0] <= 2 else "dashed"
        keys.append(Key(variant, colour.removeprefix("@"), line if order else "thick"))
    return keys


def _fate(run: LossScaleRun) -> str:
    distance = run["distance"]
    if run["diverged"]:
        return "diverges"
    if distance is None:
        return "distance not finite"
    return f"{'coincides' if distance <= COINCIDES else 'differs'}, {number(distance, 2)} of the travel apart"


def _apart(run: ChangedRun) -> str:
    if run["gap"] is not None:
        return f"losses differ by a factor of {number(math.exp(run['gap']))}, typically"
    if run["distance"] is None:
        return "diverges"
    return "the same bit for bit" if run["distance"] == 0 else f"{number(run['distance'], 2)} of the travel apart"
