"""The page: figures, tables and the runtime that draws them, put into one file that loads nothing."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from ..measured import Report
from . import change, charts, experiments, matrix, phases, training
from .document import environment, policy, read, script_json
from .figure import POINTS, Figure

OUTCOMES = {"holds": "Holds", "fails": "Does not hold", "depends": "It depends"}


@dataclass(frozen=True)
class Section:
    """A part of the page with its own entry in the navigation."""

    id: str
    title: str
    figures: list[Figure]


def render(report: Report) -> str:
    """The whole page as text.

    Raises
    ------
    ValueError
        For a verdict that points at a figure there is not, or has an unknown outcome.
    """
    runs = report["training"]
    sections = [
        Section(
            "layers",
            "Layers",
            [
                training.effective_figure(runs),
                training.heat_map_figure(runs),
                training.relative_update_figure(runs),
                training.training_figure(runs),
            ],
        ),
        Section(
            "loss",
            "Scaling the loss",
            [
                experiments.loss_scale_figure(report["loss_scale"]),
                experiments.threshold_figure(report["thresholds"]),
                phases.phase_figure(report["phases"]),
            ],
        ),
        Section("change", "What to change", [change.what_to_change_figure(report["changes"])]),
        Section("batches", "Batch size", [experiments.batch_figure(report["batch"])]),
        Section(
            "schedules",
            "Schedules and adaptive rules",
            [
                experiments.schedule_figure(report["step_schedule"]),
                experiments.adam_figure(report["adam_nominal"]),
            ],
        ),
        Section("claims-made", "Claims", [change.claims_figure(report["claims"])]),
        Section("implementations", "Implementations", []),
    ]
    figures = [figure for section in sections for figure in section.figures]
    titles: dict[str, str] = {figure.id: figure.title for figure in figures} | {"parity": matrix.TITLE}
    _check_verdicts(report, titles)

    script, matrix_script = read("page.js"), read("matrix.js")
    bundle = runtime()
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            meta=report["meta"],
            counts=_counts(report),
            verdicts=report["verdicts"],
            outcomes=OUTCOMES,
            sections=sections,
            titles=titles,
            runs=[training.run_label(run) for run in runs],
            matrix=matrix.matrix(report["parity"]),
            points=POINTS,
            charts=script_json(chart_data(figures)),
            css=Markup(read("page.css")),
            bundle=Markup(bundle),
            matrix_script=Markup(matrix_script),
            script=Markup(script),
            policy=policy(bundle, matrix_script, script),
        )
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


def _check_verdicts(report: Report, titles: dict[str, str]) -> None:
    for verdict in report["verdicts"]:
        if verdict["figure"] not in titles:
            raise ValueError(
                f"verdict {verdict['id']!r} points at figure {verdict['figure']!r}: there are {', '.join(titles)}"
            )
        if verdict["outcome"] not in OUTCOMES:
            raise ValueError(
                f"verdict {verdict['id']!r} has outcome {verdict['outcome']!r}: it is one of {', '.join(OUTCOMES)}"
            )


def _counts(report: Report) -> dict[str, int]:
    outcomes = Counter(verdict["outcome"] for verdict in report["verdicts"])
    return {"total": len(report["verdicts"]), **{outcome: outcomes[outcome] for outcome in OUTCOMES}}
