"""The charts, each once as a Vega-Lite specification without data.

Colours are names of variables in ``page.css`` behind an ``@``: the page puts in the values of the light or the dark
theme. Data, the values of params and the height come with each panel. Layers that are no measurement are named
``guide`` or ``touch``.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import altair as alt

from .figure import SLOTS

ROWS = alt.NamedData(name="rows")
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
COLOURS = [f"@c{i}" for i in range(7)] * (SLOTS // 7)
DASHES = [[1, 0]] * 7 + [[5, 3]] * 7


def _log(axis: str = "y") -> alt.Scale:
    return alt.Scale(type="log", domain=alt.ExprRef(f"[{axis}_low, {axis}_high]"), nice=False)


def _bounds(axis: str = "y") -> tuple[alt.Parameter, alt.Parameter, alt.Parameter]:
    return (
        alt.param(name=f"{axis}_low", value=0.1),
        alt.param(name=f"{axis}_high", value=1.0),
        alt.param(name=f"{axis}_ticks", value=[0.1, 1.0]),
    )


LABEL = "datum.value >= 1e-3 && datum.value < 1e4 ? format(datum.value, '~g') : replace(format(datum.value, '.1~e'), '+', '')"


def _log_axis(title: str, axis: str = "y") -> alt.Axis:
    return alt.Axis(title=title or None, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)


def _steps(field: str = "step", title: str = "step") -> alt.X:
    axis = alt.Axis(title=title, tickCount=5, grid=False, format="d", labelOverlap=True)
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def _slots(field: str = "slot") -> tuple[alt.Color, alt.StrokeDash]:
    domain = list(range(SLOTS))
    return (
        alt.Color(f"{field}:N", scale=alt.Scale(domain=domain, range=COLOURS), legend=None),
        alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=domain, range=DASHES), legend=None),
    )


def _touch(base: alt.Chart, tooltip: list[alt.Tooltip], y: str = "value:Q") -> alt.Chart:
    """Invisible points that a pointer finds more easily than a line."""
    return (
        base.mark_point(size=90, opacity=0, filled=True, clip=True)
        .properties(name="touch")
        .encode(y=y, tooltip=tooltip)
    )


def _tip(field: str, title: str | None = None, format: str = ".4~g") -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=format)


def _word(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:N", title=title or field)


def ribbon() -> Chart:
    """Effective lr of one layer: 5 to 95 % as a band, the median, and the nominal lr dashed."""
    y = {"scale": _log(), "axis": _log_axis("lr")}
    base = alt.Chart(ROWS).encode(x=_steps())
    band = base.mark_area(color="@c0", opacity=0.28, clip=True).encode(y=alt.Y("q05:Q", **y), y2="q95:Q")
    median = base.mark_line(color="@c0", strokeWidth=2, clip=True).encode(y=alt.Y("q50:Q", **y))
    nominal = base.mark_line(color="@ink", strokeDash=[5, 4], strokeWidth=1.5, clip=True)
    nominal = nominal.encode(y=alt.Y("nominal:Q", **y)).properties(name="guide")
    tooltip = [_tip("step"), _tip("nominal"), _tip("q95", "95 %"), _tip("q50", "median"), _tip("q05", "5 %")]
    return alt.layer(band, median, nominal, _touch(base, tooltip, "q50:Q")).add_params(*_bounds())


def heat_map() -> Chart:
    """Layer × step, coloured by log10(effective/nominal)."""
    reach = alt.param(name="reach", value=1.0)
    scale = alt.Scale(
        domain=alt.ExprRef("[-reach, 0, reach]"), range=["@low", "@middle", "@high"], interpolate="lab", clamp=True
    )
    return (
        alt.Chart(ROWS)
        .mark_rect()
        .encode(
            x=_steps("since"),
            x2="step:Q",
            y=alt.Y("layer:N", sort=None, axis=alt.Axis(title=None, labelLimit=130, grid=False)),
            color=alt.Color("ratio:Q", scale=scale, legend=None),
            tooltip=[_word("layer"), _tip("step"), _tip("ratio", "log10(effective/nominal)")],
        )
        .add_params(reach)
    )


def relative_update() -> Chart:
    """Relative update of every layer, with the rule of thumb 1e-3."""
    y = alt.Y("value:Q", scale=_log(), axis=_log_axis("‖Δθ‖ / ‖θ‖"))
    colour, dash = _slots()
    base = alt.Chart(ROWS).encode(x=_steps())
    lines = base.mark_line(strokeWidth=1.6, clip=True).encode(y=y, color=colour, strokeDash=dash)
    guide = alt.Chart(alt.InlineData(values=[{"guide": 1e-3}])).mark_rule(
        color="@ink", strokeDash=[2, 3], strokeWidth=1.5
    )
    guide = guide.encode(y=alt.Y("guide:Q", scale=_log())).properties(name="guide")
    words = alt.Chart(alt.InlineData(values=[{"guide": 1e-3}])).mark_text(
        text="rule of thumb: 1e-3", align="left", dx=4, dy=-7, color="@ink", fontSize=11
    )
    words = words.encode(x=alt.value(0), y=alt.Y("guide:Q", scale=_log()))
    tooltip = [_word("layer"), _tip("step"), _tip("value", "relative update")]
    return alt.layer(lines, guide, words, _touch(base, tooltip)).add_params(*_bounds())


def frameworks() -> Chart:
    """The same curve from two frameworks: one broad, one dashed on top of it."""
    y = alt.Y("value:Q", scale=_log(), axis=_log_axis("training loss"))
    base = alt.Chart(ROWS).encode(x=_steps())
    broad = base.mark_line(color="@c5", strokeWidth=5, clip=True).encode(y=y)
    thin = base.mark_line(color="@ink", strokeWidth=1.5, strokeDash=[4, 4], clip=True).encode(y=y)
    tooltip = [_word("framework"), _tip("step"), _tip("value", "loss", ".6~g")]
    return alt.layer(
        broad.transform_filter("datum.order == 0"), thin.transform_filter("datum.order == 1"), _touch(base, tooltip)
    ).add_params(*_bounds())


def losses(x: str = "step", loss: str = "loss / α") -> Chart:
    """Variants of one run: the unscaled one broad, the others thin on top of it, so that it is seen who coincides."""
    y = alt.Y("value:Q", scale=_log(), axis=_log_axis(loss))
    orders = list(range(7))
    base = alt.Chart(ROWS).encode(x=_steps(title=x), y=y)
    broad = base.mark_line(color="@c5", strokeWidth=7, opacity=0.75, clip=True).transform_filter("datum.order == 0")
    thin = (
        base.mark_line(strokeWidth=2, clip=True)
        .encode(
            color=alt.Color("order:N", scale=alt.Scale(domain=orders, range=VARIANT_COLOURS), legend=None),
            strokeDash=alt.StrokeDash("order:N", scale=alt.Scale(domain=orders, range=VARIANT_DASHES), legend=None),
        )
        .transform_filter("datum.order > 0")
    )
    tooltip = [_word("variant"), _tip("step", x), _tip("value", loss, ".6~g")]
    return alt.layer(broad, thin, _touch(base, tooltip)).add_params(*_bounds())


def phases() -> Chart:
    """Lr × α: stretches of one outcome as bars, and the boundary that theory draws as a dashed line."""
    x, y = (
        {"scale": _log(axis), "axis": alt.Axis(title=title, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)}
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
            tooltip=[_word("words", "runs"), _tip("alpha", "α"), _tip("lr_low", "lr from"), _tip("lr_high", "to")],
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
    return alt.layer(bars, line).add_params(*_bounds("x"), *_bounds("y"))


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
        _word("run"),
        _tip("converging", "largest α that converges", ".8~g"),
        _tip("predicted", "predicted threshold", ".8~g"),
        _tip("diverging", "smallest α that diverges", ".8~g"),
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
    x = alt.X("batch:Q", scale=_log("x"), axis=axis)
    y = alt.Y("value:Q", scale=_log(), axis=_log_axis(""))
    colour, _ = _slots("reduction_slot")
    base = alt.Chart(ROWS).encode(x=x)
    predicted = (
        base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, color="@ink")
        .encode(y=alt.Y("predicted:Q", scale=_log(), axis=_log_axis("")), detail="reduction:N")
        .transform_filter("isValid(datum.predicted)")
        .properties(name="guide")
    )
    tooltip = [_word("framework"), _word("reduction"), _tip("batch"), _tip("value", "measured"), _tip("predicted")]
    first = base.mark_point(filled=True, shape="circle", size=190, opacity=0.45).transform_filter("datum.order == 0")
    others = base.mark_point(filled=True, shape="cross", size=60, opacity=1).transform_filter("datum.order > 0")
    points = [layer.encode(y=y, color=colour, tooltip=tooltip) for layer in (first, others)]
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(y=y, color=colour, detail="framework:N")
    return alt.layer(lines, predicted, *points).add_params(*_bounds(), *_bounds("x"))


def coordinates(interpolate: Literal["linear", "step-after"] = "linear") -> Chart:
    """Effective lr of single coordinates, and the nominal lr dashed on top."""
    y = {"scale": _log(), "axis": _log_axis("lr")}
    colour, dash = _slots()
    base = alt.Chart(ROWS).encode(x=_steps())
    effective = base.transform_filter("datum.slot >= 0")
    lines = effective.mark_line(strokeWidth=2.4, interpolate=interpolate, clip=True)
    lines = lines.encode(y=alt.Y("value:Q", **y), color=colour, strokeDash=dash, detail="coordinate:N")
    nominal = base.transform_filter("datum.slot == -1").mark_line(
        color="@ink", strokeDash=[5, 4], strokeWidth=1.5, interpolate=interpolate, clip=True
    )
    nominal = nominal.encode(y=alt.Y("value:Q", **y)).properties(name="guide")
    tooltip = [_word("coordinate"), _tip("step"), _tip("value", "lr")]
    return alt.layer(lines, nominal, _touch(base, tooltip)).add_params(*_bounds())


def steps() -> Chart:
    """Norm of the realised step."""
    base = alt.Chart(ROWS).encode(x=_steps())
    y = alt.Y("value:Q", scale=_log(), axis=_log_axis("‖Δθ‖"))
    line = base.mark_line(color="@ink", strokeWidth=1.6, clip=True).encode(y=y)
    return alt.layer(line, _touch(base, [_tip("step"), _tip("value", "‖Δθ‖")])).add_params(*_bounds())


CHARTS = {
    "ribbon": ribbon,
    "heat-map": heat_map,
    "relative-update": relative_update,
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


@functools.cache
def specification(name: str) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, as wide as its place on the page."""
    spec = CHARTS[name]().properties(width="container").to_dict()
    # The page brings its own configuration, and $schema is an address that nothing may load.
    return {key: value for key, value in spec.items() if key not in ("config", "$schema")}
