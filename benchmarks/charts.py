"""Charts of growth as SVG, in colours that everybody can tell apart."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from matplotlib import rc_context, style
from matplotlib.figure import Figure

STYLE = Path(__file__).parents[1] / "notebooks" / "okabe_ito.mplstyle"
MARKERS = "osD^vPX"


def growth(
    points: Iterable[tuple[str, float, float]],
    *,
    x: str,
    y: str,
    title: str,
    scales: str = "loglog",
    size: tuple[float, float] = (6.4, 4.0),
) -> Figure:
    """Points of one label as a line, on axes that are both logarithmic, ``"linear log"`` or both ``"linear"``."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for label, *point in points:
        lines.setdefault(label, []).append((point[0], point[1]))
    with style.context(str(STYLE)):
        figure = Figure(figsize=size)
        axes = figure.add_subplot()
        draw = {"loglog": axes.loglog, "linear log": axes.semilogy, "linear": axes.plot}[scales]
        for marker, (label, line) in zip(MARKERS, lines.items(), strict=False):
            draw(*zip(*line, strict=True), marker=marker, markersize=5, label=label)
        axes.set(xlabel=x, ylabel=y, title=title)
        axes.legend()
    return figure


def svg(figure: Figure) -> str:
    """The picture as text; the same records give the same text."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "lrtheory", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
