"""The page: figures, tables and the runtime that draws them, put into one file that loads nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert
from markupsafe import Markup

from . import charts, experiments, parity_matrix, training
from .data import Report
from .figure import POINTS, Figure, number

TEMPLATES = Path(__file__).parent / "templates"

OUTCOMES = {"holds": "Holds", "fails": "Does not hold", "depends": "It depends"}

PARITY_TITLE = "Parity: every rule and option against every implementation"
PARITY_READING = (
    "Each cell is the largest difference between lrtheory and that implementation, fed the same gradients, over the "
    "distance travelled. About 1e-16 is rounding in float64, about 1e-7 in float32. Free runs evolve alone; forced "
    "runs are put back to the reference state before every step, which tells a wrong rule from accumulated rounding."
)
SHADES = ("≤ 1e-16", "1e-15", "1e-13", "1e-11", "1e-9", "1e-7", "1e-5", "≥ 1e-4")
MARKS = {
    "pass": "within the bound",
    "fail": "beyond the bound",
    "known": "differs by design",
    "none": "reported only",
}


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
            ],
        ),
        Section("batches", "Batch size", [experiments.batch_figure(report["batch"])]),
        Section(
            "schedules",
            "Schedules and adaptive rules",
            [
                experiments.schedule_figure(report["step_schedule"]),
                experiments.adam_figure(report["adam_nominal"]),
            ],
        ),
        Section("implementations", "Implementations", []),
    ]
    figures = [figure for section in sections for figure in section.figures]
    titles: dict[str, str] = {figure.id: figure.title for figure in figures} | {"parity": PARITY_TITLE}
    _check_verdicts(report, titles)

    script = _read("page.js")
    bundle = runtime()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = number
    return environment.get_template("page.html.jinja").render(
        meta=report["meta"],
        counts=_counts(report),
        verdicts=report["verdicts"],
        outcomes=OUTCOMES,
        sections=sections,
        titles=titles,
        runs=[training.run_label(run) for run in runs],
        matrix=parity_matrix.views(report["parity"]),
        parity_reading=PARITY_READING,
        shades=SHADES,
        marks=MARKS,
        points=POINTS,
        charts=script_json(chart_data(figures)),
        css=Markup(_read("page.css")),
        bundle=Markup(bundle),
        script=Markup(script),
        policy=policy(bundle, script),
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


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a ``<script>`` element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@functools.cache
def runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script, in the version that the charts are written for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the chart runtime of vl-convert cannot be put into a <script> element as it is")
    return script


def policy(*scripts: str) -> str:
    """A content security policy that runs these scripts, to the letter, and lets nothing be loaded."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


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
