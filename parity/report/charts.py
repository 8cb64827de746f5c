"""The report's own charts, beside those of :mod:`lrtheory.pages.charts`."""

from __future__ import annotations

import functools
from typing import Literal

import altair as alt

from lrtheory.pages import charts
from lrtheory.pages import marks as m

VARIANT_COLOURS = ["@c5", "@c1", "@c2", "@ink", "@c3", "@c4", "@c0"]
VARIANT_DASHES = [[1, 0], [1, 0], [8, 4], [2, 3], [6, 3], [3, 2], [10, 3]]


def frameworks() -> m.Chart:
    """The same curve from two frameworks: one broad, one dashed on top of it."""
    base, y = alt.Chart(m.ROWS).encode(x=m.step_axis()), m.log_y("training loss")
    broad = m.line(base, "@c5", 5).encode(y=y).transform_filter("datum.order == 0")
    thin = m.line(base, "@ink", 1.5, [4, 4]).encode(y=y).transform_filter("datum.order == 1")
    return m.layered(broad, thin, m.touch(base, [m.word("framework"), m.tip("step"), m.tip("value", "loss", ".6~g")]))


def losses(x: str = "step", loss: str = "loss / α") -> m.Chart:
    """Variants of one run: the unscaled one broad, the others thin on top of it, so that it is seen who coincides."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis(title=x), y=m.log_y(loss))
    broad = m.line(base, "@c5", 7, opacity=0.75).transform_filter("datum.order == 0")
    thin = m.line(base).encode(**m.styles("order", VARIANT_COLOURS, VARIANT_DASHES)).transform_filter("datum.order > 0")
    return m.layered(broad, thin, m.touch(base, [m.word("variant"), m.tip("step", x), m.tip("value", loss, ".6~g")]))


def phases() -> m.Chart:
    """Lr × α: stretches of one outcome as bars, and the boundary that theory draws as a dashed line."""
    x, y = m.on_log("lr", "x"), m.on_log("α")
    colours = alt.Scale(domain=["c", "o", "d"], range=["@c0", "@c4", "@c1"])
    bars = alt.Chart(m.ROWS).mark_rect(clip=True)
    bars = bars.encode(
        x=alt.X("lr_low:Q", **x),
        x2="lr_high:Q",
        y=alt.Y("alpha_low:Q", **y),
        y2="alpha_high:Q",
        color=alt.Color("outcome:N", scale=colours, legend=None),
        tooltip=[m.word("words", "runs"), m.tip("alpha", "α"), m.tip("lr_low", "lr from"), m.tip("lr_high", "to")],
    )
    edge = m.line(alt.Chart(m.ROWS), "@ink", dash=[6, 4])
    edge = edge.encode(x=alt.X("edge_lr:Q", **x), y=alt.Y("edge_alpha:Q", **y))
    edge = m.guide(edge.transform_filter("isValid(datum.edge_lr)"))
    return m.layered(bars.transform_filter("isValid(datum.outcome)"), edge, axes="xy")


def threshold() -> m.Chart:
    """Where divergence begins: the bracket found by runs, the prediction as the vertical line at 0."""
    scale = alt.Scale(domain=alt.ExprRef("[-reach, reach]"), nice=False)
    x = {"scale": scale, "axis": alt.Axis(title="α, in % above the predicted threshold", tickCount=5, format="~g")}
    base = alt.Chart(m.ROWS).encode(y=alt.Y("run:N", sort=None, axis=alt.Axis(title=None, labelLimit=150, grid=False)))
    span = base.mark_rule(color="@c0", strokeWidth=5).encode(x=alt.X("below:Q", **x), x2="above:Q")
    titles = {
        "converging": "largest α that converges",
        "predicted": "predicted threshold",
        "diverging": "smallest α that diverges",
    }
    tooltip = [m.word("run"), *(m.tip(field, title, ".8~g") for field, title in titles.items())]
    converges = base.mark_point(shape="circle", size=90, filled=True, color="@c0", opacity=1)
    diverges = base.mark_point(shape="cross", size=110, filled=True, color="@c1", opacity=1, angle=45)
    ends = [
        point.encode(x=alt.X(f"{field}:Q", **x), tooltip=tooltip)
        for point, field in ((converges, "below"), (diverges, "above"))
    ]
    predicted = m.at("at", 0).mark_rule(color="@ink", strokeDash=[5, 4], strokeWidth=1.5).encode(x=alt.X("at:Q", **x))
    return alt.layer(span, m.guide(predicted), *ends).add_params(alt.param(name="reach", value=1.0))


def batch() -> m.Chart:
    """A quantity against the batch size, log-log: colour for the reduction, shape for the framework."""
    axis = alt.Axis(title="batch size B", values=alt.ExprRef("x_ticks"), format="d", grid=False)
    base = alt.Chart(m.ROWS).encode(x=alt.X("batch:Q", scale=m.log_scale("x"), axis=axis))
    measured = {"y": m.log_y(""), "color": m.styles("reduction_slot")["color"]}
    predicted = base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, color="@ink")
    predicted = predicted.encode(y=m.log_y("", "predicted"), detail="reduction:N")
    predicted = m.guide(predicted.transform_filter("isValid(datum.predicted)"))
    tooltip = [m.word("framework"), m.word("reduction"), m.tip("batch"), m.tip("value", "measured"), m.tip("predicted")]
    first = base.mark_point(filled=True, shape="circle", size=190, opacity=0.45).transform_filter("datum.order == 0")
    others = base.mark_point(filled=True, shape="cross", size=60, opacity=1).transform_filter("datum.order > 0")
    points = [layer.encode(**measured, tooltip=tooltip) for layer in (first, others)]
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(**measured, detail="framework:N")
    return m.layered(lines, predicted, *points, axes="yx")


def coordinates(interpolate: Literal["linear", "step-after"] = "linear") -> m.Chart:
    """Effective lr of single coordinates, and the nominal lr dashed on top."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    lines = m.line(base.transform_filter("datum.slot >= 0"), width=2.4, interpolate=interpolate)
    lines = lines.encode(y=m.log_y("lr"), **m.styles("slot"), detail="coordinate:N")
    nominal = m.line(base.transform_filter("datum.slot == -1"), "@ink", 1.5, [5, 4], interpolate=interpolate)
    tooltip = [m.word("coordinate"), m.tip("step"), m.tip("value", "lr")]
    return m.layered(lines, m.guide(nominal.encode(y=m.log_y("lr"))), m.touch(base, tooltip))


def steps() -> m.Chart:
    """Norm of the realised step."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    line = m.line(base, "@ink", 1.6).encode(y=m.log_y("‖Δθ‖"))
    return m.layered(line, m.touch(base, [m.tip("step"), m.tip("value", "‖Δθ‖")]))


def angular() -> m.Chart:
    """Angular lr of each layer that has one."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    lines = m.line(base, width=2.4).encode(y=m.log_y("angular lr"), **m.styles("slot"))
    return m.layered(lines, m.touch(base, [m.word("layer"), m.tip("step"), m.tip("value", "angular lr")]))


CHARTS = {
    **charts.CHARTS,
    "angular": angular,
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
