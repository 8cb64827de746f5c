"""What charts are made of: axes, lines, tooltips, and styles that tell curves apart.

Colours are names of variables in ``page.css`` behind an ``@``: the page puts in the values of the light or the dark
theme. Layers that are no measurement are named ``guide`` or ``touch``.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from .figure import SLOTS

ROWS = alt.NamedData(name="rows")
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
COLOURS = [f"@c{i}" for i in range(7)] * (SLOTS // 7)
DASHES = [[1, 0]] * 7 + [[5, 3]] * 7
LABEL = "datum.value >= 1e-3 && datum.value < 1e4 ? format(datum.value, '~g') : replace(format(datum.value, '.1~e'), '+', '')"


def log_scale(axis: str = "y") -> alt.Scale:
    """Between the limits that a panel gives."""
    return alt.Scale(type="log", domain=alt.ExprRef(f"[{axis}_low, {axis}_high]"), nice=False)


def on_log(title: str, axis: str = "y") -> dict[str, Any]:
    """The scale and the axis of a channel whose limits come with the panel."""
    drawn = alt.Axis(title=title or None, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)
    return {"scale": log_scale(axis), "axis": drawn}


def log_y(title: str, field: str = "value") -> alt.Y:
    """The height of a field, on a log axis."""
    return alt.Y(f"{field}:Q", **on_log(title))


def step_axis(field: str = "step", title: str = "step") -> alt.X:
    """Steps from left to right."""
    axis = alt.Axis(title=title, tickCount=5, grid=False, format="d", labelOverlap=True)
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def name_axis() -> alt.Axis:
    """Names, one a row."""
    return alt.Axis(title=None, labelLimit=130, grid=False)


def styles(field: str, colours: list[str] = COLOURS, dashes: list[list[int]] = DASHES) -> dict[str, Any]:
    """A colour and a dash for each value of a field."""
    domain = list(range(len(colours)))
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=domain, range=colours), legend=None),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=domain, range=dashes), legend=None),
    }


def line(
    base: alt.Chart, colour: str | None = None, width: float = 2, dash: list[int] | None = None, **more: Any
) -> Any:
    """A line that ends where its picture does."""
    given = {"color": colour, "strokeDash": dash}
    style = {name: value for name, value in given.items() if value is not None}
    return base.mark_line(**{"strokeWidth": width, "clip": True, **style, **more})


def guide(layer: alt.Chart) -> alt.Chart:
    """What is no measurement."""
    return layer.properties(name="guide")


def at(field: str, value: float) -> alt.Chart:
    """A chart of one number that every panel has."""
    return alt.Chart(alt.InlineData(values=[{field: value}]))


def touch(base: alt.Chart, tooltip: list[alt.Tooltip], y: str = "value:Q") -> alt.Chart:
    """Invisible points that a pointer finds more easily than a line."""
    points = base.mark_point(size=90, opacity=0, filled=True, clip=True)
    return points.properties(name="touch").encode(y=y, tooltip=tooltip)


def tip(field: str, title: str | None = None, format: str = ".4~g") -> alt.Tooltip:
    """A number in a tooltip."""
    return alt.Tooltip(f"{field}:Q", title=title or field, format=format)


def word(field: str, title: str | None = None) -> alt.Tooltip:
    """A name in a tooltip."""
    return alt.Tooltip(f"{field}:N", title=title or field)


def layered(*layers: Any, axes: str = "y") -> Chart:
    """Layers on log axes whose limits and ticks are params."""
    return alt.layer(*layers).add_params(
        *(
            alt.param(name=f"{axis}_{name}", value=value)
            for axis in axes
            for name, value in (("low", 0.1), ("high", 1.0), ("ticks", [0.1, 1.0]))
        )
    )
