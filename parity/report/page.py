"""The page: figures, tables and the runtime that draws them, put into one file that loads nothing."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from ..measured import Measured, run_label
from . import charts, document, experiments, matrix, training, variants
from .figure import POINTS, Figure

OUTCOMES = {"holds": "Holds", "fails": "Does not hold", "depends": "It depends"}


@dataclass(frozen=True)
class Section:
    """A part of the page with its own entry in the navigation."""

    id: str
    title: str
    figures: tuple[Figure, ...]


def sections_of(report: Measured) -> list[Section]:
    """The page's figures in their order; the matrix has a section without any."""
    runs = report["training"]
    layers = (
        training.effective_figure(runs),
        training.heat_map_figure(runs),
        training.relative_update_figure(runs),
        training.training_figure(runs),
    )
    loss = (
        variants.loss_scale_figure(report["loss_scale"]),
        experiments.threshold_figure(report["thresholds"]),
        experiments.phase_figure(report["phases"]),
    )
    schedules = (
        experiments.schedule_figure(report["step_schedule"]),
        experiments.adam_figure(report["adam_nominal"]),
    )
    return [
        Section("layers", "Layers", layers),
        Section("loss", "Scaling the loss", loss),
        Section("change", "What to change", (variants.what_to_change_figure(report["changes"]),)),
        Section("batches", "Batch size", (experiments.batch_figure(report["batch"]),)),
        Section("schedules", "Schedules and adaptive rules", schedules),
        Section("claims-made", "Claims", (experiments.claims_figure(report["claims"]),)),
        Section("implementations", "Implementations", ()),
    ]


def render(report: Measured) -> str:
    """The whole page as text.

    Raises ValueError for a verdict that points at a figure there is not, or has an unknown outcome.
    """
    sections = sections_of(report)
    figures = [figure for section in sections for figure in section.figures]
    titles: dict[str, str] = {figure.id: figure.title for figure in figures} | {"parity": matrix.TITLE}
    for verdict in report["verdicts"]:
        for what, known in (("figure", titles), ("outcome", OUTCOMES)):
            if verdict[what] not in known:
                raise ValueError(
                    f"verdict {verdict['id']!r} has {what} {verdict[what]!r}: there are {', '.join(known)}"
                )
    counted = Counter(verdict["outcome"] for verdict in report["verdicts"])
    return document.render(
        "page.html.jinja",
        [runtime(), "matrix.js", "page.js"],
        meta=report["meta"],
        counts={"total": len(report["verdicts"]), **{outcome: counted[outcome] for outcome in OUTCOMES}},
        verdicts=report["verdicts"],
        outcomes=OUTCOMES,
        sections=sections,
        titles=titles,
        runs=[run_label(run) for run in report["training"]],
        matrix=matrix.matrix(report["parity"]),
        points=POINTS,
        charts=document.script_json(chart_data(figures)),
    )


def chart_data(figures: list[Figure]) -> dict[str, Any]:
    """Every chart's specification once, and every panel's data."""
    panels = {
        f"{figure.id}/{index}": {
            "chart": panel.chart,
            "params": panel.params,
            "blocks": panel.blocks,
            "height": panel.height,
        }
        for figure in figures
        for index, panel in enumerate(figure.panels)
    }
    used = dict.fromkeys(panel["chart"] for panel in panels.values())
    return {"specs": {name: charts.specification(name) for name in used}, "panels": panels}


@functools.cache
def runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script, in the version that the charts are written for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the chart runtime of vl-convert cannot be put into a <script> element as it is")
    return script
