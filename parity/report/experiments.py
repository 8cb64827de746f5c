"""Figures of the experiments: loss scale, threshold of divergence, batch size, schedule, Adam's two learning rates."""

from __future__ import annotations

from ..measured import BatchRun, EffectiveCurves, LossScaleRun, Threshold
from .charts import VARIANT_COLOURS, VARIANT_DASHES
from .figure import (
    Block,
    Figure,
    Key,
    Panel,
    Table,
    log_axis,
    name,
    number,
    pick,
    positive,
    slot,
    slot_key,
    thinned,
)

COINCIDES = 1e-9
"""Runs no farther apart than this share of the travel are said to coincide; rounding leaves about 1e-12 at most."""


def loss_scale_figure(runs: list[LossScaleRun]) -> Figure:
    """The unscaled run, and the scaled ones that should or should not coincide with it."""
    variants = list(dict.fromkeys(run["variant"] for run in sorted(runs, key=lambda run: run["alpha"] != 1)))
    panels = []
    several = len({run["problem"] for run in runs}) > 1
    for (problem, rule, framework), group in _grouped(runs, "problem", "rule", "framework"):
        group = sorted(group, key=lambda run: variants.index(run["variant"]))
        title = f"{name(rule)}, {name(framework)}"
        panels.append(_loss_panel(f"{problem}: {title}" if several else title, group, variants))
    head = ["Problem, rule, framework", "Variant", "α", "Numbers", "Distance from the unscaled run, of travel"]
    rows = [
        [
            f"{run['problem']}, {name(run['rule'])}, {name(run['framework'])}",
            run["variant"],
            number(run["alpha"]),
            ", ".join(f"{key} {number(value)}" for key, value in run["hyper"].items()),
            "diverges" if run["diverged"] else number(run["distance"], 2),
        ]
        for run in runs
    ]
    return Figure(
        id="loss-scale",
        title="The loss times α, uncorrected and corrected",
        reading="Losses are divided by α again, so that runs compare. A correction undoes the scaling where its line "
        "lies on the broad line of the unscaled run.",
        panels=panels,
        keys=[_variant_key(variant, order) for order, variant in enumerate(variants)],
        tables=[Table("Travel is the largest distance that a parameter moves.", head, rows)] if runs else [],
        layout="pairs",
    )


def _loss_panel(title: str, group: list[LossScaleRun], variants: list[str]) -> Panel:
    base = next((run for run in group if run["alpha"] == 1), group[0])
    start = next((value for value in positive(base["loss"]) if value is not None), 1.0)
    blocks: list[Block] = []
    for run in group:
        at = thinned(len(run["loss"]))
        blocks.append(
            {
                "step": [i + 1 for i in at],
                "value": pick(positive(run["loss"]), at),
                "variant": run["variant"],
                "order": variants.index(run["variant"]) % len(VARIANT_COLOURS),
            }
        )
    # A diverging run leaves the picture upwards.
    axis = log_axis((positive(run["loss"]) for run in group), cap=1e3 * start, span=1e9)
    notes = [f"{run['variant']}: {_fate(run)}" for run in group if run is not base]
    return Panel(title, "losses", blocks, axis, notes)


def _fate(run: LossScaleRun) -> str:
    distance = run["distance"]
    if run["diverged"]:
        return "diverges"
    if distance is None:
        return "distance not finite"
    return f"{'coincides' if distance <= COINCIDES else 'differs'}, {number(distance, 2)} of the travel apart"


def _variant_key(variant: str, order: int) -> Key:
    if order == 0:
        return Key(variant, "c5", "thick")
    style = order % len(VARIANT_COLOURS)
    gap = VARIANT_DASHES[style][0]
    line = "solid" if VARIANT_DASHES[style] == [1, 0] else "dotted" if gap <= 2 else "dashed"
    return Key(variant, VARIANT_COLOURS[style].removeprefix("@"), line)


def threshold_figure(rows: list[Threshold]) -> Figure:
    """Where SGD begins to diverge, as predicted and as found."""

    def above(row: Threshold, alpha: float) -> float:
        return 100 * (alpha / row["predicted"] - 1)

    block: Block = {
        "run": [f"{name(row['framework'])}, lr {number(row['lr'])}" for row in rows],
        "below": [above(row, row["largest_converging"]) for row in rows],
        "above": [above(row, row["smallest_diverging"]) for row in rows],
        "converging": [row["largest_converging"] for row in rows],
        "diverging": [row["smallest_diverging"] for row in rows],
        "predicted": [row["predicted"] for row in rows],
    }
    reach = 1.3 * max((abs(value) for value in [*block["below"], *block["above"]]), default=1.0)
    head = [
        "Run",
        "Largest curvature",
        "Predicted α = 2 / (lr · curvature)",
        "Largest converging",
        "Smallest diverging",
    ]
    table = Table(
        "The same numbers.",
        head,
        [
            [
                f"{name(row['framework'])}, lr {number(row['lr'])}",
                number(row["curvature"], 6),
                number(row["predicted"], 6),
                number(row["largest_converging"], 6),
                number(row["smallest_diverging"], 6),
            ]
            for row in rows
        ],
    )
    return Figure(
        id="threshold",
        title="The α at which SGD diverges",
        reading="Runs bracket the threshold: it lies between the circle and the cross. The theory is right where the "
        "dashed line falls between them.",
        panels=[Panel("Plain SGD on the regression", "threshold", [block], {"reach": reach}, height=38 * len(rows))]
        if rows
        else [],
        keys=[
            Key("predicted", "ink", "dashed"),
            Key("largest α that converges", "c0", "dot"),
            Key("smallest α that diverges", "c1", "cross"),
        ],
        tables=[table] if rows else [],
        layout="wide",
    )


def batch_figure(runs: list[BatchRun]) -> Figure:
    """First step and per-example lr against the batch size."""
    reductions = list(dict.fromkeys(run["reduction"] for run in runs))
    frameworks = list(dict.fromkeys(run["framework"] for run in runs))
    step_blocks: list[Block] = []
    lr_blocks: list[Block] = []
    for (framework, reduction), group in _grouped(runs, "framework", "reduction"):
        group = sorted(group, key=lambda run: run["batch"])
        common = {
            "batch": [run["batch"] for run in group],
            "framework": name(framework),
            "order": frameworks.index(framework),
            "reduction": reduction,
            "reduction_slot": slot(reductions.index(reduction)),
        }
        start = group[0]["step_norm"]
        ratios = [run["predicted_ratio"] for run in group]
        predicted = [None if ratio is None or start is None else rounded_product(ratio, start) for ratio in ratios]
        step_blocks.append({**common, "value": [run["step_norm"] for run in group], "predicted": predicted})
        lr_blocks.append({**common, "value": [run["per_example_lr"] for run in group], "predicted": None})
    batches = sorted({run["batch"] for run in runs})
    panels = [
        _batch_panel("Norm of the first step, ‖Δθ‖", step_blocks, batches),
        _batch_panel("Effective lr of a single example", lr_blocks, batches),
    ]
    table = Table(
        "The same numbers.",
        ["Framework, reduction", "Batch", "Gradient norm", "Step norm", "Step, over smallest batch", "Predicted"],
        [
            [
                f"{name(run['framework'])}, {run['reduction']}",
                number(run["batch"]),
                number(run["gradient_norm"]),
                number(run["step_norm"]),
                f"{number(run['step_ratio'])} ×",
                "no exact law" if run["predicted_ratio"] is None else f"{number(run['predicted_ratio'])} ×",
            ]
            for run in runs
        ],
    )
    keys = [slot_key(reduction, position) for position, reduction in enumerate(reductions)]
    keys += [Key(name(f), "muted", "dot" if position == 0 else "cross") for position, f in enumerate(frameworks[:2])]
    return Figure(
        id="batch",
        layout="pairs",
        title="What the batch size does to a step",
        reading="One step from the same parameters. A quantity in proportion to B rises by a decade in a decade of B; one "
        "that does not depend on B stays level. The dashed line is what theory says, where it says something exact.",
        panels=panels if runs else [],
        keys=[*keys, Key("predicted", "ink", "dashed")],
        tables=[table] if runs else [],
    )


def _batch_panel(title: str, blocks: list[Block], batches: list[int]) -> Panel:
    params = log_axis([column for block in blocks for column in (block["value"], block["predicted"] or [])])
    params |= log_axis([[float(size) for size in batches]], axis="x", margin=1.3)
    return Panel(title, "batch", blocks, params | {"x_ticks": batches})


def rounded_product(a: float, b: float) -> float:
    """Their product, with the digits that a picture shows."""
    return float(f"{a * b:.6g}")


def schedule_figure(runs: list[EffectiveCurves]) -> Figure:
    """StepLR: the lr that is set, the lr that acts, and the step that comes of it."""
    names = _coordinates(runs)
    panels = []
    for run in runs:
        title = f"{name(run['rule'])}, {name(run['framework'])}"
        panels.append(_coordinates_panel(f"{title}: learning rates", run, names, "staircase"))
        at = thinned(len(run["step"]))
        axis = log_axis([positive(run["step_norm"])])
        block: Block = {"step": pick(run["step"], at), "value": pick(positive(run["step_norm"]), at)}
        panels.append(Panel(f"{title}: realised step", "steps", [block], axis))
    return Figure(
        id="schedule",
        layout="pairs",
        title="A schedule: nominal lr, effective lr and realised steps",
        reading="The dashed staircase is the lr that the scheduler sets, a coloured line the effective lr of one "
        "coordinate. Beside them is the step that came of it, which depends on the gradient as well.",
        panels=panels,
        keys=[Key("nominal lr", "ink", "dashed"), *_coordinate_keys(names)],
    )


def adam_figure(runs: list[EffectiveCurves]) -> Figure:
    """The lr that is set, and the effective lr of single coordinates."""
    names = _coordinates(runs)
    return Figure(
        id="adam",
        layout="pairs",
        title="Adam: nominal lr and the effective lr of each coordinate",
        reading="The dashed line is the lr that is set. Each coloured line is the effective lr of one coordinate, "
        "lr / (√v̂ + eps): the smaller its gradients have been, the larger it is.",
        panels=[
            _coordinates_panel(f"{name(run['rule'])}, {name(run['framework'])}", run, names, "coordinates")
            for run in runs
        ],
        keys=[Key("nominal lr", "ink", "dashed"), *_coordinate_keys(names)],
    )


def _coordinates(runs: list[EffectiveCurves]) -> list[str]:
    """All coordinates of all runs by name, so that one has the same style in every panel."""
    return sorted({coordinate for run in runs for coordinate in run["coordinates"]})


def _coordinate_keys(names: list[str]) -> list[Key]:
    return [slot_key(coordinate, position) for position, coordinate in enumerate(names)]


def _coordinates_panel(title: str, run: EffectiveCurves, names: list[str], chart: str) -> Panel:
    at = thinned(len(run["step"]))
    steps = pick(run["step"], at)
    nominal = positive(run["nominal_lr"])
    curves = {coordinate: positive(curve) for coordinate, curve in run["coordinates"].items()}
    blocks: list[Block] = [{"step": steps, "value": pick(nominal, at), "coordinate": "nominal lr", "slot": -1}]
    blocks += [
        {"step": steps, "value": pick(curve, at), "coordinate": coordinate, "slot": slot(names.index(coordinate))}
        for coordinate, curve in curves.items()
    ]
    return Panel(title, chart, blocks, log_axis([nominal, *curves.values()]))


def _grouped(rows, *fields: str):
    """Rows by the values of those fields, in order of appearance."""
    groups: dict[tuple[str, ...], list] = {}
    for row in rows:
        groups.setdefault(tuple(row[f] for f in fields), []).append(row)
    return groups.items()
