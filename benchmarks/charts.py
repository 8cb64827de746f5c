"""Charts of growth as SVG, in colours that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from matplotlib import rc_context, style
from matplotlib.figure import Figure

STYLE = Path(__file__).parents[1] / "notebooks" / "okabe_ito.mplstyle"
MARKERS = "osD^vPX"


def growth(points: Iterable[tuple[str, float, float]], *, x: str, y: str, title: str) -> Figure:
    """Points on two logarithmic axes, those of one label as a line."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for label, *point in points:
        lines.setdefault(label, []).append((point[0], point[1]))
    with style.context(str(STYLE)):
        figure = Figure(figsize=(6.4, 4.0))
        axes = figure.add_subplot()
        for marker, (label, line) in zip(MARKERS, lines.items(), strict=False):
            axes.loglog(*zip(*line, strict=True), marker=marker, markersize=5, label=label)
        axes.set(xlabel=x, ylabel=y, title=title)
        axes.legend()
    return figure


def svg(figure: Figure) -> str:
    """The picture as text; the same records give the same text."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "lrtheory", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
