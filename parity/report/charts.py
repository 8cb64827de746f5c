"""The report's own charts, beside those of :mod:`lrtheory.pages.charts`."""

from __future__ import annotations

import functools
from typing import Literal

import altair as alt

from lrtheory.pages import charts
from lrtheory.pages.charts import (
    LABEL,
    ROWS,
    Chart,
    bounds,
    log_scale,
    slot_styles,
    step_axis,
    tip,
    touch,
    value_axis,
    word,
)


def frameworks() -> Chart:
    """The same curve from two frameworks: one broad, one dashed on top of it."""
    y = alt.Y("value:Q", scale=log_scale(), axis=value_axis("training loss"))
    base = alt.Chart(ROWS).encode(x=step_axis())
    broad = base.mark_line(color="@c5", strokeWidth=5, clip=True).encode(y=y)
    thin = base.mark_line(color="@ink", strokeWidth=1.5, strokeDash=[4, 4], clip=True).encode(y=y)
    tooltip = [word("framework"), tip("step"), tip("value", "loss", ".6~g")]
    return alt.layer(
        broad.transform_filter("datum.order == 0"), thin.transform_filter("datum.order == 1"), touch(base, tooltip)
    ).add_params(*bounds())


def losses(x: str = "step", loss: str = "loss / α") -> Chart:
    """Variants of one run: the unscaled one broad, the others thin on top of it, so that it is seen who coincides."""
    y = alt.Y("value:Q", scale=log_scale(), axis=value_axis(loss))
    orders = list(range(7))
    base = alt.Chart(ROWS).encode(x=step_axis(title=x), y=y)
    broad = base.mark_line(color="@c5", strokeWidth=7, opacity=0.75, clip=True).transform_filter("datum.order == 0")
    thin = (
        base.mark_line(strokeWidth=2, clip=True)
        .encode(
            color=alt.Color("order:N", scale=alt.Scale(domain=orders, range=VARIANT_COLOURS), legend=None),
            strokeDash=alt.StrokeDash("order:N", scale=alt.Scale(domain=orders, range=VARIANT_DASHES), legend=None),
        )
        .transform_filter("datum.order > 0")
    )
    tooltip = [word("variant"), tip("step", x), tip("value", loss, ".6~g")]
    return alt.layer(broad, thin, touch(base, tooltip)).add_params(*bounds())


def phases() -> Chart:
    """Lr × α: stretches of one outcome as bars, and the boundary that theory draws as a dashed line."""
    x, y = (
        {"scale": log_scale(axis), "axis": alt.Axis(title=title, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)}
        for axis, title in (("x", "lr"), ("y", "α"))
    )
    colours = alt.Scale(domain=["c", "o", "d"], range=["@c0", "@c4", "@c1"])
    bars = (
        alt.Chart(ROWS)
        .mark_rect(clip=True)
        .encode(
            x=alt.X("lr_low:Q", **x),
            x2="lr_high:Q",
            y=alt.Y("alpha_low:Q", **y),
            y2="alpha_high:Q",
            color=alt.Color("outcome:N", scale=colours, legend=None),
            tooltip=[word("words", "runs"), tip("alpha", "α"), tip("lr_low", "lr from"), tip("lr_high", "to")],
        )
        .transform_filter("isValid(datum.outcome)")
    )
    line = (
        alt.Chart(ROWS)
        .mark_line(color="@ink", strokeDash=[6, 4], strokeWidth=2, clip=True)
        .encode(x=alt.X("edge_lr:Q", **x), y=alt.Y("edge_alpha:Q", **y))
        .transform_filter("isValid(datum.edge_lr)")
        .properties(name="guide")
    )
    return alt.layer(bars, line).add_params(*bounds("x"), *bounds("y"))


VARIANT_COLOURS = ["@c5", "@c1", "@c2", "@ink", "@c3", "@c4", "@c0"]
VARIANT_DASHES = [[1, 0], [1, 0], [8, 4], [2, 3], [6, 3], [3, 2], [10, 3]]


def threshold() -> Chart:
    """Where divergence begins: the bracket found by runs, the prediction as the vertical line at 0."""
    reach = alt.param(name="reach", value=1.0)
    scale = alt.Scale(domain=alt.ExprRef("[-reach, reach]"), nice=False)
    x = {"scale": scale, "axis": alt.Axis(title="α, in % above the predicted threshold", tickCount=5, format="~g")}
    base = alt.Chart(ROWS).encode(y=alt.Y("run:N", sort=None, axis=alt.Axis(title=None, labelLimit=150, grid=False)))
    span = base.mark_rule(color="@c0", strokeWidth=5).encode(x=alt.X("below:Q", **x), x2="above:Q")
    tooltip = [
        word("run"),
        tip("converging", "largest α that converges", ".8~g"),
        tip("predicted", "predicted threshold", ".8~g"),
        tip("diverging", "smallest α that diverges", ".8~g"),
    ]
    converges = base.mark_point(shape="circle", size=90, filled=True, color="@c0", opacity=1)
    converges = converges.encode(x=alt.X("below:Q", **x), tooltip=tooltip)
    diverges = base.mark_point(shape="cross", size=110, filled=True, color="@c1", opacity=1, angle=45)
    diverges = diverges.encode(x=alt.X("above:Q", **x), tooltip=tooltip)
    predicted = alt.Chart(alt.InlineData(values=[{"at": 0}])).mark_rule(
        color="@ink", strokeDash=[5, 4], strokeWidth=1.5
    )
    predicted = predicted.encode(x=alt.X("at:Q", **x)).properties(name="guide")
    return alt.layer(span, predicted, converges, diverges).add_params(reach)


def batch() -> Chart:
    """A quantity against the batch size, log-log: colour for the reduction, shape for the framework."""
    axis = alt.Axis(title="batch size B", values=alt.ExprRef("x_ticks"), format="d", grid=False)
    x = alt.X("batch:Q", scale=log_scale("x"), axis=axis)
    y = alt.Y("value:Q", scale=log_scale(), axis=value_axis(""))
    colour, _ = slot_styles("reduction_slot")
    base = alt.Chart(ROWS).encode(x=x)
    predicted = (
        base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, color="@ink")
        .encode(y=alt.Y("predicted:Q", scale=log_scale(), axis=value_axis("")), detail="reduction:N")
        .transform_filter("isValid(datum.predicted)")
        .properties(name="guide")
    )
    tooltip = [word("framework"), word("reduction"), tip("batch"), tip("value", "measured"), tip("predicted")]
    first = base.mark_point(filled=True, shape="circle", size=190, opacity=0.45).transform_filter("datum.order == 0")
    others = base.mark_point(filled=True, shape="cross", size=60, opacity=1).transform_filter("datum.order > 0")
    points = [layer.encode(y=y, color=colour, tooltip=tooltip) for layer in (first, others)]
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(y=y, color=colour, detail="framework:N")
    return alt.layer(lines, predicted, *points).add_params(*bounds(), *bounds("x"))


def coordinates(interpolate: Literal["linear", "step-after"] = "linear") -> Chart:
    """Effective lr of single coordinates, and the nominal lr dashed on top."""
    y = {"scale": log_scale(), "axis": value_axis("lr")}
    colour, dash = slot_styles()
    base = alt.Chart(ROWS).encode(x=step_axis())
    effective = base.transform_filter("datum.slot >= 0")
    lines = effective.mark_line(strokeWidth=2.4, interpolate=interpolate, clip=True)
    lines = lines.encode(y=alt.Y("value:Q", **y), color=colour, strokeDash=dash, detail="coordinate:N")
    nominal = base.transform_filter("datum.slot == -1").mark_line(
        color="@ink", strokeDash=[5, 4], strokeWidth=1.5, interpolate=interpolate, clip=True
    )
    nominal = nominal.encode(y=alt.Y("value:Q", **y)).properties(name="guide")
    tooltip = [word("coordinate"), tip("step"), tip("value", "lr")]
    return alt.layer(lines, nominal, touch(base, tooltip)).add_params(*bounds())


def steps() -> Chart:
    """Norm of the realised step."""
    base = alt.Chart(ROWS).encode(x=step_axis())
    y = alt.Y("value:Q", scale=log_scale(), axis=value_axis("‖Δθ‖"))
    line = base.mark_line(color="@ink", strokeWidth=1.6, clip=True).encode(y=y)
    return alt.layer(line, touch(base, [tip("step"), tip("value", "‖Δθ‖")])).add_params(*bounds())


CHARTS = {
    **charts.CHARTS,
    "frameworks": frameworks,
    "losses": losses,
    "losses-by-example": functools.partial(losses, "examples seen", "loss"),
    "threshold": threshold,
    "phases": phases,
    "batch": batch,
    "coordinates": coordinates,
    "staircase": functools.partial(coordinates, "step-after"),
    "steps": steps,
}
