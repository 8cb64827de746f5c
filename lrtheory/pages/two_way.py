"""A picture of two axes of a sweep, as a file of its own."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from .figure import rounded


def two_way(x: str, y: str, value: str, xs: list[Any], ys: list[Any], shown: np.ndarray, failed: np.ndarray) -> Any:
    """Cells coloured by the median of a value over runs that did not fail, grey where there is none.

    Parameters
    ----------
    x, y, value : names
    xs, ys : values of the axes
    shown, failed : arrays of shape (len(xs), len(ys), runs)
    """
    rows = []
    for i, across in enumerate(xs):
        for j, up in enumerate(ys):
            good = shown[i, j][~failed[i, j] & np.isfinite(shown[i, j])]
            share = f"{failed[i, j].sum()} of {failed.shape[2]} diverged or not done"
            median = float(np.median(good)) if len(good) else None
            rows.append({"x": _label(across), "y": _label(up), "value": median, "runs": share})
    finite = [row["value"] for row in rows if row["value"] is not None]
    log = bool(finite) and min(finite) > 0 and max(finite) > 30 * min(finite)
    colour = alt.Color(
        "value:Q",
        title=value,
        scale=alt.Scale(scheme="viridis", type="log" if log else "linear", reverse=True),
        legend=alt.Legend(format=".2~g"),
    )
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("x:N", title=x, sort=[_label(v) for v in xs], axis=alt.Axis(labelOverlap=True, labelAngle=0)),
        y=alt.Y("y:N", title=y, sort=[_label(v) for v in reversed(ys)], axis=alt.Axis(labelOverlap=True)),
        tooltip=["x:N", "y:N", alt.Tooltip("value:Q", format=".4~g"), "runs:N"],
    )
    cells = base.transform_filter("datum.value !== null").mark_rect().encode(color=colour)
    gone = base.transform_filter("datum.value === null").mark_rect(color="#c8c8c8")
    title = alt.Title(f"{value} over {x} and {y}", subtitle="grey: every run diverged, or was not done")
    # The first layer has every cell, so that no value of an axis is missing where all of its runs diverged.
    return alt.layer(base.mark_rect(opacity=0), gone, cells).properties(width=420, height=320, title=title)


def _label(value: Any) -> str:
    return f"{rounded(value):g}" if isinstance(value, float) else str(value)
