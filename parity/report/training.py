"""Figures of the training runs: what their layers really trained with. One run is shown at a time."""

from __future__ import annotations

import math
from typing import Any

from lrtheory.pages.figure import Figure, Key, Panel, Table, lines, log_axis, pick, positive, slot, slot_keys, thinned
from lrtheory.words import number, percent

from ..measured import Curve, Layer, TrainingRun, run_label


def training_figure(runs: list[TrainingRun]) -> Figure:
    """Losses of both frameworks, and a table of all runs."""
    panels = []
    for index, run in enumerate(runs):
        curves = {"JAX": run["loss_jax"], "PyTorch": run["loss_torch"]}
        blocks = [
            lines(run["step"], value=curve, framework=framework, order=order)
            for order, (framework, curve) in enumerate(curves.items())
        ]
        axis = log_axis(positive(curve) for curve in curves.values())
        panels.append(Panel(run_label(run), "frameworks", blocks, axis, run=index))
    return Figure(
        id="training",
        title="The same training in JAX and in PyTorch",
        reading="Each framework computes its own gradients from the same initial weights and batches. The dashed line "
        "must lie on the broad one.",
        panels=panels,
        keys=[Key("JAX", "c5", "thick"), Key("PyTorch", "ink", "dashed")],
        tables=[
            Table.of(
                "All training runs. Travel is the largest distance that a parameter moves.",
                runs,
                COMPARED,
                summary="All runs",
                open=True,
            )
        ]
        if runs
        else [],
        layout="wide",
    )


COMPARED = {
    "Run": run_label,
    "Steps": lambda run: number(run["steps"]),
    "Dtype": lambda run: run["dtype"],
    "Last loss, JAX": lambda run: number(_last(run["loss_jax"]), 6),
    "Last loss, PyTorch": lambda run: number(_last(run["loss_torch"]), 6),
    "Accuracy, JAX": lambda run: percent(run["accuracy_jax"]),
    "Accuracy, PyTorch": lambda run: percent(run["accuracy_torch"]),
    "Largest difference, of travel": lambda run: number(run["largest_difference"], 2),
    "Differ beyond 1e-9 from step": lambda run: (
        "never" if run["first_difference_step"] is None else number(run["first_difference_step"])
    ),
}


def effective_figure(runs: list[TrainingRun]) -> Figure:
    """A ribbon per layer, all on one scale, with a table of the last step."""
    panels, tables = [], []
    for index, run in enumerate(runs):
        bands = [{q: layer[q] for q in ("q05", "q50", "q95")} for layer in run["layers"]]
        axis = log_axis(positive(curve) for curve in (run["nominal_lr"], *(c for band in bands for c in band.values())))
        for layer, band in zip(run["layers"], bands, strict=True):
            block = lines(run["step"], nominal=run["nominal_lr"], **band)
            panels.append(Panel(layer["name"], "ribbon", [block], axis, run=index))
        tables.append(_last_step(run, index))
    return Figure(
        id="effective-lr",
        title="Effective learning rate of each layer",
        reading="The effective lr of a coordinate is its step for a unit of direction. The band holds 90 % of a layer's "
        "coordinates; a layer whose band lies far below the dashed line trains with a smaller lr than was set.",
        panels=panels,
        keys=[Key("nominal lr", "ink", "dashed"), Key("median", "c0"), Key("5 to 95 % of coordinates", "c0", "band")],
        tables=tables,
    )


def _last_step(run: TrainingRun, index: int) -> Table:
    nominal = _last(run["nominal_lr"])
    step = run["step"][-1] if run["step"] else 0
    columns = {
        "Layer": lambda layer: layer["name"],
        "Median effective lr": lambda layer: number(_last(layer["q50"])),
        "Over nominal": lambda layer: _times(_last(layer["q50"]), nominal),
        "Harmonic mean": lambda layer: number(_last(layer["harmonic_mean"])),
        "Dominated by eps": lambda layer: percent(_last(layer["eps_dominated"])),
        "Relative update": lambda layer: number(_last(layer["relative_update"])),
        "Decay in the step": lambda layer: percent(_last(layer["decay_share"])),
    }
    caption = f"{run_label(run)}: the layers at step {step}, nominal lr {number(nominal)}."
    return Table.of(caption, run["layers"], columns, run=index)


def heat_map_figure(runs: list[TrainingRun]) -> Figure:
    """Which layer trains with more, which with less than the nominal lr, and when."""
    panels = []
    for index, run in enumerate(runs):
        at = thinned(len(run["step"]))
        steps = pick(run["step"], at)
        ratios = [_log_ratio(layer, run["nominal_lr"]) for layer in run["layers"]]
        blocks = [
            {"step": steps, "since": [0, *steps[:-1]], "layer": layer["name"], "ratio": pick(ratio, at)}
            for layer, ratio in zip(run["layers"], ratios, strict=True)
            if steps
        ]
        reach = max((abs(value) for ratio in ratios for value in ratio if value is not None), default=0.0)
        reach = max(reach, 0.1)
        shown = {"run": index, "height": 30 * len(blocks), "reach": number(reach, 2)}
        panels.append(Panel(run_label(run), "heat-map", blocks, {"reach": reach}, **shown))
    return Figure(
        id="heat-map",
        title="Where and when the effective lr leaves the nominal one",
        reading="Colour is the base-ten logarithm of the median effective lr over the nominal lr: 0 is what was set, +1 ten "
        "times more, −1 ten times less.",
        panels=panels,
        layout="wide",
    )


def relative_update_figure(runs: list[TrainingRun]) -> Figure:
    """How much of itself each layer changes in a step."""
    panels = [
        _layers(run, index, "relative-update", "relative_update", run["layers"], [1e-3], span=1e9)
        for index, run in enumerate(runs)
    ]
    return Figure(
        id="relative-update",
        title="Relative update of each layer",
        reading="Norm of the step over norm of the parameter. Near 1e-3 is a rule of thumb for healthy training, not a "
        "law: a layer far below it hardly learns, and one far above it is rewritten in a few steps.",
        panels=panels,
        layout="wide",
    )


def angular_figure(runs: list[TrainingRun]) -> Figure:
    """What scale-invariant tensors really train with: the lr of their direction."""
    panels, tables = [], []
    for index, run in enumerate(runs):
        layers = [layer for layer in run["layers"] if layer["scale_invariant"]]
        if layers:
            panels.append(_layers(run, index, "angular", "angular_lr", layers))
        columns = {
            "Layer": lambda layer: layer["name"],
            "Angular lr at first": lambda layer: number(layer["angular_lr"][0] if layer["angular_lr"] else None),
            "At last": lambda layer: number(_last(layer["angular_lr"])),
            "A step turns it by": lambda layer: f"{number(_last(layer['rotation']))} rad",
        }
        which = f"{len(layers)} of {len(run['layers'])} tensors are scale-invariant"
        if not layers:
            others = sorted({r["model"] for r in runs if any(layer["scale_invariant"] for layer in r["layers"])})
            advice = f"; choose a run of {others[0]} above to see some" if others else ""
            which = f"no tensor is scale-invariant{advice}"
        tables.append(Table.of(f"{run_label(run)}: {which}.", layers, columns, run=index))
    return Figure(
        id="angular-lr",
        title="Angular learning rate of scale-invariant layers",
        reading="The loss is the same whatever the size of these tensors, up to the eps of the norm behind them: lrtheory.symmetries "
        "found them in the program of the loss. Their lr means nothing without their norm; what they feel is lr/‖w‖² under SGD and "
        "lr/‖w‖ under Adam, which falls as they grow. Two tensors train alike where these are equal.",
        panels=panels,
        tables=tables,
        layout="wide",
    )


def _layers(
    run: TrainingRun, index: int, chart: str, value: str, layers: list[Any], *also: Curve, **axis: Any
) -> Panel:
    """A curve for each layer; ``also`` has values that its axis reaches."""
    blocks = [
        lines(run["step"], value=layer[value], layer=layer["name"], slot=slot(position))
        for position, layer in enumerate(layers)
    ]
    axis = log_axis([*(positive(layer[value]) for layer in layers), *also], **axis)
    keys = slot_keys(layer["name"] for layer in layers)
    return Panel(run_label(run), chart, blocks, axis, keys=keys, run=index, height=260)


def _log_ratio(layer: Layer, nominal: Curve) -> Curve:
    pairs = zip(positive(layer["q50"]), positive(nominal), strict=True)
    return [None if q is None or n is None else math.log10(q / n) for q, n in pairs]


def _last(curve: Curve) -> float | None:
    return curve[-1] if curve else None


def _times(value: float | None, unit: float | None) -> str:
    return "not finite" if value is None or not unit else f"{value / unit:.3g} ×"
