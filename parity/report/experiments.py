"""Figures of the experiments: threshold of divergence, phases, batch size, schedule, Adam's two learning rates, claims."""

from __future__ import annotations

import itertools

from lrtheory.pages.figure import Block, Figure, Key, Panel, Table, lines, log_axis, positive, rounded, slot, slot_keys
from lrtheory.words import number, spoken

from ..measured import BatchRun, Claim, EffectiveCurves, PhaseDiagram, ThresholdBracket

PHASES = {"c": "converge", "o": "oscillate", "d": "diverge"}
DECISIONS = {"true": "✓ true", "false": "✗ false", "depends": "◐ depends"}


def threshold_figure(rows: list[ThresholdBracket]) -> Figure:
    """Where SGD begins to diverge, as predicted and as found."""

    def run(row: ThresholdBracket) -> str:
        return f"{spoken(row['framework'])}, lr {number(row['lr'])}"

    block: Block = {
        "run": [run(row) for row in rows],
        "below": [100 * (row["largest_converging"] / row["predicted"] - 1) for row in rows],
        "above": [100 * (row["smallest_diverging"] / row["predicted"] - 1) for row in rows],
        "converging": [row["largest_converging"] for row in rows],
        "diverging": [row["smallest_diverging"] for row in rows],
        "predicted": [row["predicted"] for row in rows],
    }
    reach = 1.3 * max((abs(value) for value in [*block["below"], *block["above"]]), default=1.0)
    panel = Panel("Plain SGD on the regression", "threshold", [block], {"reach": reach}, height=38 * len(rows))
    table = Table.of(
        "The numbers of the picture.",
        rows,
        {
            "Run": run,
            "Largest curvature": lambda row: number(row["curvature"], 6),
            "Predicted α = 2 / (lr · curvature)": lambda row: number(row["predicted"], 6),
            "Largest converging": lambda row: number(row["largest_converging"], 6),
            "Smallest diverging": lambda row: number(row["smallest_diverging"], 6),
        },
    )
    return Figure(
        id="threshold",
        title="The α at which SGD diverges",
        reading="Runs bracket the threshold: it lies between the circle and the cross. The theory is right where the "
        "dashed line falls between them.",
        panels=[panel] if rows else [],
        keys=[
            Key("predicted", "ink", "dashed"),
            Key("largest α that converges", "c0", "dot"),
            Key("smallest α that diverges", "c1", "cross"),
        ],
        tables=[table] if rows else [],
        layout="wide",
    )


def phase_figure(diagrams: list[PhaseDiagram]) -> Figure:
    """Where runs converge, oscillate or diverge over lr × the scale of the loss, with the boundary that theory draws."""
    runs = sum(len(d["lr"]) * len(d["alpha"]) for d in diagrams)
    return Figure(
        id="phase-diagram",
        title="Where training converges, oscillates and diverges",
        reading=f"Each of {runs} runs has its own lr and its own factor α on the loss, a quadratic of curvature 1. The "
        "dashed line is where theory says that stability is lost. For SGD that is α·lr = 2. For Adam and RMSprop, whose √v "
        "falls until only eps is left, it is α·lr = a multiple of eps; they do not diverge beyond it, because a step is "
        "hardly longer than lr.",
        panels=[_phases(diagram) for diagram in diagrams],
        keys=[
            Key("converges", "c0", "thick"),
            Key("oscillates", "c4", "thick"),
            Key("diverges", "c1", "thick"),
            Key("boundary by theory", "ink", "dashed"),
        ],
    )


def _phases(diagram: PhaseDiagram) -> Panel:
    lrs, alphas = diagram["lr"], diagram["alpha"]
    cells: Block = {key: [] for key in ("lr_low", "lr_high", "alpha_low", "alpha_high", "alpha", "outcome", "words")}
    x, y = _edges(lrs), _edges(alphas)
    for row, outcomes in enumerate(diagram["outcome"]):
        start = 0
        for outcome, stretch in itertools.groupby(outcomes):
            stop = start + len(list(stretch))
            values = (x[start], x[stop], y[row], y[row + 1], alphas[row], outcome, PHASES[outcome])
            for column, value in zip(cells.values(), values, strict=True):
                column.append(rounded(value))
            start = stop
    edge: Block = {
        "edge_lr": [rounded(lrs[0]), rounded(lrs[-1])],
        "edge_alpha": [rounded(diagram["boundary"] / lrs[0]), rounded(diagram["boundary"] / lrs[-1])],
    }
    params = log_axis([x], axis="x", margin=1.0) | log_axis([y], margin=1.0)
    given = ", ".join(f"{key} {number(value)}" for key, value in diagram["numbers"].items())
    notes = [
        f"boundary α·lr = {number(diagram['boundary'])}; {diagram['misplaced']} of {len(lrs) * len(alphas)} runs of "
        f"{diagram['steps']} steps are on the wrong side of it",
        *([given] if given else []),
    ]
    return Panel(spoken(diagram["rule"]), "phases", [cells, edge], params, notes, height=230)


def _edges(values: list[float]) -> list[float]:
    """Edges of cells around values that are evenly spaced in the logarithm."""
    half = (values[-1] / values[0]) ** (0.5 / (len(values) - 1)) if len(values) > 1 else 2.0
    return [values[0] / half, *(value * half for value in values)]


def batch_figure(runs: list[BatchRun]) -> Figure:
    """First step and per-example lr against the batch size."""
    reductions = list(dict.fromkeys(run["reduction"] for run in runs))
    frameworks = list(dict.fromkeys(run["framework"] for run in runs))
    step_blocks: list[Block] = []
    lr_blocks: list[Block] = []
    for framework, reduction in dict.fromkeys((run["framework"], run["reduction"]) for run in runs):
        group = [run for run in runs if (run["framework"], run["reduction"]) == (framework, reduction)]
        group.sort(key=lambda run: run["batch"])
        common = {
            "batch": [run["batch"] for run in group],
            "framework": spoken(framework),
            "order": frameworks.index(framework),
            "reduction": reduction,
            "reduction_slot": slot(reductions.index(reduction)),
        }
        start = group[0]["step_norm"]
        ratios = [run["predicted_ratio"] for run in group]
        # To the digits that a picture shows.
        predicted = [None if r is None or start is None else float(f"{r * start:.6g}") for r in ratios]
        step_blocks.append({**common, "value": [run["step_norm"] for run in group], "predicted": predicted})
        lr_blocks.append({**common, "value": [run["per_example_lr"] for run in group], "predicted": None})
    batches = sorted({run["batch"] for run in runs})
    panels = []
    for title, blocks in (
        ("Norm of the first step, ‖Δθ‖", step_blocks),
        ("Effective lr of a single example", lr_blocks),
    ):
        params = log_axis([column for block in blocks for column in (block["value"], block["predicted"] or [])])
        params |= log_axis([[float(size) for size in batches]], axis="x", margin=1.3)
        panels.append(Panel(title, "batch", blocks, params | {"x_ticks": batches}))
    table = Table.of(
        "The numbers of the picture.",
        runs,
        {
            "Framework, reduction": lambda run: f"{spoken(run['framework'])}, {run['reduction']}",
            "Batch": lambda run: number(run["batch"]),
            "Gradient norm": lambda run: number(run["gradient_norm"]),
            "Step norm": lambda run: number(run["step_norm"]),
            "Step, over smallest batch": lambda run: f"{number(run['step_ratio'])} ×",
            "Predicted": lambda run: (
                "no exact law" if run["predicted_ratio"] is None else f"{number(run['predicted_ratio'])} ×"
            ),
        },
    )
    keys = slot_keys(reductions)
    keys += [Key(spoken(f), "muted", "dot" if position == 0 else "cross") for position, f in enumerate(frameworks[:2])]
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


def schedule_figure(runs: list[EffectiveCurves]) -> Figure:
    """StepLR: the lr that is set, the lr that acts, and the step that comes of it."""
    panels, keys = _coordinates(runs, "staircase", ": learning rates")
    steps = [
        Panel(
            f"{spoken(run['rule'])}, {spoken(run['framework'])}: realised step",
            "steps",
            [lines(run["step"], value=run["step_norm"])],
            log_axis([positive(run["step_norm"])]),
        )
        for run in runs
    ]
    return Figure(
        id="schedule",
        layout="pairs",
        title="A schedule: nominal lr, effective lr and realised steps",
        reading="The dashed staircase is the lr that the scheduler sets; each coloured line is the effective lr of one "
        "coordinate, which for SGD is the nominal lr. Beside them is the step that came of it, which depends on the gradient as well.",
        panels=[panel for pair in zip(panels, steps, strict=True) for panel in pair],
        keys=keys,
    )


def adam_figure(runs: list[EffectiveCurves]) -> Figure:
    """The lr that is set, and the effective lr of single coordinates."""
    panels, keys = _coordinates(runs, "coordinates")
    return Figure(
        id="adam",
        layout="pairs",
        title="Adam: nominal lr and the effective lr of each coordinate",
        reading="The dashed line is the lr that is set. Each coloured line is the effective lr of one coordinate, "
        "lr / (√v̂ + eps): the smaller its gradients have been, the larger it is.",
        panels=panels,
        keys=keys,
    )


def _coordinates(runs: list[EffectiveCurves], chart: str, what: str = "") -> tuple[list[Panel], list[Key]]:
    """A panel for each run; a coordinate has the same style in all of them."""
    names = sorted({coordinate for run in runs for coordinate in run["coordinates"]})
    panels = []
    for run in runs:
        curves = {"nominal lr": run["nominal_lr"], **run["coordinates"]}
        blocks = [
            lines(run["step"], value=curve, coordinate=c, slot=slot(names.index(c)) if c in run["coordinates"] else -1)
            for c, curve in curves.items()
        ]
        title = f"{spoken(run['rule'])}, {spoken(run['framework'])}{what}"
        panels.append(Panel(title, chart, blocks, log_axis(positive(curve) for curve in curves.values())))
    return panels, [Key("nominal lr", "ink", "dashed"), *slot_keys(names)]


def claims_figure(claims: list[Claim]) -> Figure:
    """What people say, decided."""

    def evidence(claim: Claim) -> str:
        sign = ">" if claim["residual"] > claim["bound"] else "≤"
        return f"{number(claim['residual'])} {sign} {number(claim['bound'])}: {claim['ran']}"

    table = Table.of(
        "Decided by checks that ran for this page.",
        claims,
        {
            "People say": lambda claim: claim["claim"],
            "It is": lambda claim: DECISIONS[claim["decision"]] + ("" if claim["holds"] else " (not borne out)"),
            "Of which rules, and when": lambda claim: claim["scope"],
            "Evidence": evidence,
        },
        prose=True,
    )
    return Figure(
        id="claims",
        title="What people say about learning rates",
        reading="Each saying is decided by a proof that is checked in numbers, whose figure must be within the bound, or by "
        "a counterexample, whose figure must be above it. The scope says of which rules it is true.",
        tables=[table] if claims else [],
        layout="wide",
    )
