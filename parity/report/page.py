"""The page: figures, tables and the runtime that draws them, put into one file that loads nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lrtheory.pages import document
from lrtheory.pages.charts import chart_data, runtime
from lrtheory.pages.figure import POINTS, Figure

from ..measured import Measured, run_label
from . import charts, experiments, matrix, training, variants

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
        training.angular_figure(runs),
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
        matrix.TEMPLATES,
        "page.html.jinja",
        [runtime(), "matrix.js", "page.js"],
        ["matrix.css"],
        meta=report["meta"],
        counts={"total": len(report["verdicts"]), **{outcome: counted[outcome] for outcome in OUTCOMES}},
        verdicts=report["verdicts"],
        outcomes=OUTCOMES,
        sections=sections,
        titles=titles,
        runs=[run_label(run) for run in report["training"]],
        matrix=matrix.matrix(report["parity"]),
        points=POINTS,
        charts=document.script_json(chart_data(figures, charts.CHARTS)),
    )
