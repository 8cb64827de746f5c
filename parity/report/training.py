"""Figures of the training runs: what their layers really trained with. One run is shown at a time."""

from __future__ import annotations

import math

from ..measured import Curve, Layer, Training
from .figure import (
    Block,
    Figure,
    Key,
    Panel,
    Table,
    log_axis,
    name,
    number,
    percent,
    pick,
    positive,
    slot,
    slot_key,
    thinned,
)


def run_label(run: Training) -> str:
    """How a run is named on the page."""
    return f"{run['model']}, {name(run['rule'])}, {run['schedule']} lr"


def training_figure(runs: list[Training]) -> Figure:
    """Losses of both frameworks, and a table of all runs."""
    panels = []
    for index, run in enumerate(runs):
        at = thinned(len(run["step"]))
        curves = {"JAX": positive(run["loss_jax"]), "PyTorch": positive(run["loss_torch"])}
        blocks: list[Block] = [
            {"step": pick(run["step"], at), "value": pick(curve, at), "framework": framework, "order": order}
            for order, (framework, curve) in enumerate(curves.items())
        ]
        panels.append(Panel(run_label(run), "frameworks", blocks, log_axis(curves.values()), run=index))
    return Figure(
        id="training",
        title="The same training in JAX and in PyTorch",
        reading="Each framework computes its own gradients from the same initial weights and batches. The dashed line "
        "must lie on the broad one.",
        panels=panels,
        keys=[Key("JAX", "c5", "thick"), Key("PyTorch", "ink", "dashed")],
        tables=[_comparison(runs)] if runs else [],
        layout="wide",
    )


def _comparison(runs: list[Training]) -> Table:
    head = [
        "Run",
        "Steps",
        "Dtype",
        "Last loss, JAX",
        "Last loss, PyTorch",
        "Accuracy, JAX",
        "Accuracy, PyTorch",
        "Largest difference, of travel",
        "Differ beyond 1e-9 from step",
    ]
    rows = [
        [
            run_label(run),
            number(run["steps"]),
            run["dtype"],
            number(_last(run["loss_jax"]), 6),
            number(_last(run["loss_torch"]), 6),
            percent(run["accuracy_jax"]),
            percent(run["accuracy_torch"]),
            number(run["largest_difference"], 2),
            "never" if run["first_difference_step"] is None else number(run["first_difference_step"]),
        ]
        for run in runs
    ]
    return Table("All training runs. Travel is the largest distance that a parameter moves.", head, rows)


def effective_figure(runs: list[Training]) -> Figure:
    """A ribbon per layer, all on one scale, with a table of the last step."""
    panels, tables = [], []
    for index, run in enumerate(runs):
        at = thinned(len(run["step"]))
        nominal = positive(run["nominal_lr"])
        bands = [[positive(layer[q]) for q in ("q05", "q50", "q95")] for layer in run["layers"]]
        axis = log_axis([nominal, *(curve for band in bands for curve in band)])
        for layer, (q05, q50, q95) in zip(run["layers"], bands, strict=True):
            block: Block = {
                "step": pick(run["step"], at),
                "nominal": pick(nominal, at),
                "q05": pick(q05, at),
                "q50": pick(q50, at),
                "q95": pick(q95, at),
            }
            panels.append(Panel(layer["name"], "ribbon", [block], axis, run=index))
        tables.append(_last_step(run, index))
    return Figure(
        id="effective-lr",
        title="Effective learning rate of each layer",
        reading="For every coordinate of a layer the effective lr is its step for a unit of direction. The band holds "
        "90 % of the coordinates; a layer whose band lies far below the dashed line trains with less than was asked "
        "for.",
        panels=panels,
        keys=[Key("nominal lr", "ink", "dashed"), Key("median", "c0"), Key("5 to 95 % of coordinates", "c0", "band")],
        tables=tables,
    )


def _last_step(run: Training, index: int) -> Table:
    head = [
        "Layer",
        "Median effective lr",
        "Over nominal",
        "Harmonic mean",
        "Dominated by eps",
        "Relative update",
        "Decay in the step",
    ]
    nominal = _last(run["nominal_lr"])
    rows = [
        [
            layer["name"],
            number(_last(layer["q50"])),
            _times(_last(layer["q50"]), nominal),
            number(_last(layer["harmonic_mean"])),
            percent(_last(layer["eps_dominated"])),
            number(_last(layer["relative_update"])),
            percent(_last(layer["decay_share"])),
        ]
        for layer in run["layers"]
    ]
    step = run["step"][-1] if run["step"] else 0
    return Table(f"{run_label(run)}: the layers at step {step}, nominal lr {number(nominal)}.", head, rows, run=index)


def heat_map_figure(runs: list[Training]) -> Figure:
    """Which layer trains with more, which with less than the nominal lr, and when."""
    panels = []
    for index, run in enumerate(runs):
        at = thinned(len(run["step"]))
        steps = pick(run["step"], at)
        ratios = [_log_ratio(layer, run["nominal_lr"]) for layer in run["layers"]]
        reach = max((abs(value) for ratio in ratios for value in ratio if value is not None), default=0.0)
        blocks: list[Block] = [
            {"step": steps, "since": [0, *steps[:-1]], "layer": layer["name"], "ratio": pick(ratio, at)}
            for layer, ratio in zip(run["layers"], ratios, strict=True)
            if steps
        ]
        reach = max(reach, 0.1)
        height = 30 * len(blocks)
        panels.append(
            Panel(
                run_label(run), "heat-map", blocks, {"reach": reach}, run=index, height=height, reach=number(reach, 2)
            )
        )
    return Figure(
        id="heat-map",
        title="Where and when the effective lr leaves the nominal one",
        reading="Colour is the base-ten logarithm of the median effective lr over the nominal lr: 0 is what was asked "
        "for, +1 ten times more, −1 ten times less.",
        panels=panels,
        layout="wide",
    )


def relative_update_figure(runs: list[Training]) -> Figure:
    """How much of itself each layer changes in a step."""
    panels = []
    for index, run in enumerate(runs):
        at = thinned(len(run["step"]))
        curves = [positive(layer["relative_update"]) for layer in run["layers"]]
        blocks: list[Block] = [
            {"step": pick(run["step"], at), "value": pick(curve, at), "layer": layer["name"], "slot": slot(position)}
            for position, (layer, curve) in enumerate(zip(run["layers"], curves, strict=True))
        ]
        keys = [slot_key(layer["name"], position) for position, layer in enumerate(run["layers"])]
        params = log_axis([*curves, [1e-3]], span=1e9)
        panels.append(Panel(run_label(run), "relative-update", blocks, params, keys=keys, run=index, height=260))
    return Figure(
        id="relative-update",
        title="Relative update of each layer",
        reading="Norm of the step over norm of the parameter. Near 1e-3 is a rule of thumb for healthy training, not a "
        "law: a layer far below it hardly learns, one far above it is rewritten in a few steps.",
        panels=panels,
        layout="wide",
    )


def _log_ratio(layer: Layer, nominal: Curve) -> Curve:
    pairs = zip(positive(layer["q50"]), positive(nominal), strict=True)
    return [None if q is None or n is None else math.log10(q / n) for q, n in pairs]


def _last(curve: Curve) -> float | None:
    return curve[-1] if curve else None


def _times(value: float | None, unit: float | None) -> str:
    return "not finite" if value is None or not unit else f"{value / unit:.3g} ×"
