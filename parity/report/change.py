"""Figures of what to set instead, and of what people say."""

from __future__ import annotations

import math

from ..measured import ChangedRun, Claim
from .charts import VARIANT_COLOURS, VARIANT_DASHES
from .figure import Block, Figure, Key, Panel, Table, log_axis, name, number, pick, positive, thinned

HEAD = ["People say", "It is", "Of which rules, and when", "Evidence"]
DECISIONS = {"true": "✓ true", "false": "✗ false", "depends": "◐ depends"}


def what_to_change_figure(runs: list[ChangedRun]) -> Figure:
    """Predicted and measured curves for another loss and another batch, and the numbers before and after."""
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    panels = []
    for rule, change in dict.fromkeys((run["rule"], run["change"]) for run in runs):
        group = [run for run in runs if (run["rule"], run["change"]) == (rule, change)]
        shown = [run for run in group if run["framework"] == group[0]["framework"]]
        panels.append(_panel(f"{name(rule)}, {change}", shown, variants))
    return Figure(
        id="what-to-change",
        title="Another loss, another batch: what to set, predicted and measured",
        reading="The broad line is the run as it is, which is also the prediction for the rescaled one: the same curve "
        "over the examples seen. For another loss it must be met bit for bit; for another batch, fed the same examples, "
        "to first order in the lr, averaged over draws of the batches.",
        panels=panels,
        keys=[_key(variant, order) for order, variant in enumerate(variants)],
        tables=[_numbers(runs)] if runs else [],
        layout="pairs",
    )


def _panel(title: str, group: list[ChangedRun], variants: list[str]) -> Panel:
    base = group[0]
    start = next((value for value in positive(base["loss"]) if value is not None), 1.0)
    blocks: list[Block] = []
    for run in group:
        at = thinned(len(run["loss"]))
        blocks.append(
            {
                "step": [run["examples"][i] for i in at],
                "value": pick(positive(run["loss"]), at),
                "variant": run["variant"],
                "order": variants.index(run["variant"]) % len(VARIANT_COLOURS),
            }
        )
    axis = log_axis((positive(run["loss"]) for run in group), cap=1e2 * start, span=1e6)
    notes = [f"{run['variant']}: {_apart(run)}" for run in group[1:]]
    return Panel(title, "losses-by-example", blocks, axis, notes)


def _apart(run: ChangedRun) -> str:
    if run["gap"] is not None:
        return f"loss apart by a factor of {number(math.exp(run['gap']))}, typically"
    if run["distance"] is None:
        return "diverges"
    return "the same bit for bit" if run["distance"] == 0 else f"{number(run['distance'], 2)} of the travel apart"


def _numbers(runs: list[ChangedRun]) -> Table:
    rows = []
    for run in runs:
        if run["variant"] != runs[0]["variant"]:
            rows.append(
                [
                    f"{name(run['rule'])}, {run['change']}, {name(run['framework'])}",
                    run["variant"],
                    ", ".join(f"{key} {number(value)}" for key, value in run["hyper"].items()),
                    run["exactness"] + (f", {run['method']} rule" if run["method"] else ""),
                    _apart(run),
                ]
            )
    head = ["Rule, change, framework", "Variant", "Numbers", "Exactness of the rescaled", "Against the run as it is"]
    return Table("Numbers that lrtheory.rescale gives, and how far the runs are apart.", head, rows)


def _key(variant: str, order: int) -> Key:
    if order == 0:
        return Key(f"{variant}: the prediction", "c5", "thick")
    solid = VARIANT_DASHES[order] == [1, 0]
    return Key(variant, VARIANT_COLOURS[order].removeprefix("@"), "solid" if solid else "dashed")


def claims_figure(claims: list[Claim]) -> Figure:
    """What people say, decided."""
    rows = [
        [
            claim["claim"],
            DECISIONS[claim["decision"]] + ("" if claim["holds"] else " (not borne out)"),
            claim["scope"],
            f"{number(claim['residual'])} {'>' if claim['residual'] > claim['bound'] else '≤'} {number(claim['bound'])}: "
            + claim["ran"],
        ]
        for claim in claims
    ]
    return Figure(
        id="claims",
        title="What people say about learning rates",
        reading="Each sentence is decided by a proof that is checked in numbers, or by a counterexample, whose figure must "
        "be above the bound. The scope says of which rules it is true.",
        tables=[Table("Decided by checks that ran for this page.", HEAD, rows, prose=True)] if claims else [],
        layout="wide",
    )
