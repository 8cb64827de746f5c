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
VARIANT_COLOURS = ["@c5", "@c1", "@c2", "@ink", "@c3", "@c4", "@c0"]
VARIANT_DASHES = [[1, 0], [1, 0], [8, 4], [2, 3], [6, 3], [3, 2], [10, 3]]
LABEL = "datum.value >= 1e-3 && datum.value < 1e4 ? format(datum.value, '~g') : replace(format(datum.value, '.1~e'), '+', '')"


def _log(axis: str = "y") -> alt.Scale:
    return alt.Scale(type="log", domain=alt.ExprRef(f"[{axis}_low, {axis}_high]"), nice=False)


def _on_log(title: str, axis: str = "y") -> dict[str, Any]:
    """The scale and the axis of a channel whose limits come with the panel."""
    drawn = alt.Axis(title=title or None, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)
    return {"scale": _log(axis), "axis": drawn}


def _y(title: str, field: str = "value") -> alt.Y:
    return alt.Y(f"{field}:Q", **_on_log(title))


def _steps(field: str = "step", title: str = "step") -> alt.X:
    axis = alt.Axis(title=title, tickCount=5, grid=False, format="d", labelOverlap=True)
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def _names() -> alt.Axis:
    return alt.Axis(title=None, labelLimit=130, grid=False)


def _styles(field: str, colours: list[str] = COLOURS, dashes: list[list[int]] = DASHES) -> dict[str, Any]:
    """A colour and a dash for each value of a field."""
    domain = list(range(len(colours)))
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=domain, range=colours), legend=None),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=domain, range=dashes), legend=None),
    }


def _line(
    base: alt.Chart, colour: str | None = None, width: float = 2, dash: list[int] | None = None, **more: Any
) -> Any:
    given = {"color": colour, "strokeDash": dash}
    style = {name: value for name, value in given.items() if value is not None}
    return base.mark_line(**{"strokeWidth": width, "clip": True, **style, **more})


def _guide(layer: alt.Chart) -> alt.Chart:
    """What is no measurement."""
    return layer.properties(name="guide")


def _at(field: str, value: float) -> alt.Chart:
    """A chart of one number that every panel has."""
    return alt.Chart(alt.InlineData(values=[{field: value}]))


def _touch(base: alt.Chart, tooltip: list[alt.Tooltip], y: str = "value:Q") -> alt.Chart:
    """Invisible points that a pointer finds more easily than a line."""
    points = base.mark_point(size=90, opacity=0, filled=True, clip=True)
    return points.properties(name="touch").encode(y=y, tooltip=tooltip)


def _tip(field: str, title: str | None = None, format: str = ".4~g") -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title or field, format=format)


def _word(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:N", title=title or field)


def _layered(*layers: Any, axes: str = "y") -> Chart:
    """Layers on log axes whose limits and ticks are params."""
    return alt.layer(*layers).add_params(
        *(
            alt.param(name=f"{axis}_{name}", value=value)
            for axis in axes
            for name, value in (("low", 0.1), ("high", 1.0), ("ticks", [0.1, 1.0]))
        )
    )


def ribbon() -> Chart:
    """Effective lr of one layer: 5 to 95 % as a band, the median, and the nominal lr dashed."""
    base = alt.Chart(ROWS).encode(x=_steps())
    band = base.mark_area(color="@c0", opacity=0.28, clip=True).encode(y=_y("lr", "q05"), y2="q95:Q")
    median = _line(base, "@c0").encode(y=_y("lr", "q50"))
    nominal = _guide(_line(base, "@ink", 1.5, [5, 4]).encode(y=_y("lr", "nominal")))
    tooltip = [_tip("step"), _tip("nominal"), _tip("q95", "95 %"), _tip("q50", "median"), _tip("q05", "5 %")]
    return _layered(band, median, nominal, _touch(base, tooltip, "q50:Q"))


def heat_map() -> Chart:
    """Layer × step, coloured by log10(effective/nominal)."""
    colours, reach = ["@low", "@middle", "@high"], alt.ExprRef("[-reach, 0, reach]")
    scale = alt.Scale(domain=reach, range=colours, interpolate="lab", clamp=True)
    cells = alt.Chart(ROWS).mark_rect()
    cells = cells.encode(
        x=_steps("since"),
        x2="step:Q",
        y=alt.Y("layer:N", sort=None, axis=_names()),
        color=alt.Color("ratio:Q", scale=scale, legend=None),
        tooltip=[_word("layer"), _tip("step"), _tip("ratio", "log10(effective/nominal)")],
    )
    return cells.add_params(alt.param(name="reach", value=1.0))


def relative_update() -> Chart:
    """Relative update of every layer, with the rule of thumb 1e-3."""
    base, thumb = alt.Chart(ROWS).encode(x=_steps()), alt.Y("guide:Q", scale=_log())
    lines = _line(base, width=1.6).encode(y=_y("‖Δθ‖ / ‖θ‖"), **_styles("slot"))
    guide = _guide(_at("guide", 1e-3).mark_rule(color="@ink", strokeDash=[2, 3], strokeWidth=1.5).encode(y=thumb))
    words = _at("guide", 1e-3).mark_text(
        text="rule of thumb: 1e-3", align="left", dx=4, dy=-7, color="@ink", fontSize=11
    )
    words = words.encode(x=alt.value(0), y=thumb)
    tooltip = [_word("layer"), _tip("step"), _tip("value", "relative update")]
    return _layered(lines, guide, words, _touch(base, tooltip))


def frameworks() -> Chart:
    """The same curve from two frameworks: one broad, one dashed on top of it."""
    base, y = alt.Chart(ROWS).encode(x=_steps()), _y("training loss")
    broad = _line(base, "@c5", 5).encode(y=y).transform_filter("datum.order == 0")
    thin = _line(base, "@ink", 1.5, [4, 4]).encode(y=y).transform_filter("datum.order == 1")
    return _layered(broad, thin, _touch(base, [_word("framework"), _tip("step"), _tip("value", "loss", ".6~g")]))


def losses(x: str = "step", loss: str = "loss / α") -> Chart:
    """Variants of one run: the unscaled one broad, the others thin on top of it, so that it is seen who coincides."""
    base = alt.Chart(ROWS).encode(x=_steps(title=x), y=_y(loss))
    broad = _line(base, "@c5", 7, opacity=0.75).transform_filter("datum.order == 0")
    thin = _line(base).encode(**_styles("order", VARIANT_COLOURS, VARIANT_DASHES)).transform_filter("datum.order > 0")
    return _layered(broad, thin, _touch(base, [_word("variant"), _tip("step", x), _tip("value", loss, ".6~g")]))


def phases() -> Chart:
    """Lr × α: stretches of one outcome as bars, and the boundary that theory draws as a dashed line."""
    x, y = _on_log("lr", "x"), _on_log("α")
    colours = alt.Scale(domain=["c", "o", "d"], range=["@c0", "@c4", "@c1"])
    bars = alt.Chart(ROWS).mark_rect(clip=True)
    bars = bars.encode(
        x=alt.X("lr_low:Q", **x),
        x2="lr_high:Q",
        y=alt.Y("alpha_low:Q", **y),
        y2="alpha_high:Q",
        color=alt.Color("outcome:N", scale=colours, legend=None),
        tooltip=[_word("words", "runs"), _tip("alpha", "α"), _tip("lr_low", "lr from"), _tip("lr_high", "to")],
    )
    edge = _line(alt.Chart(ROWS), "@ink", dash=[6, 4])
    edge = edge.encode(x=alt.X("edge_lr:Q", **x), y=alt.Y("edge_alpha:Q", **y))
    edge = _guide(edge.transform_filter("isValid(datum.edge_lr)"))
    return _layered(bars.transform_filter("isValid(datum.outcome)"), edge, axes="xy")


def threshold() -> Chart:
    """Where divergence begins: the bracket found by runs, the prediction as the vertical line at 0."""
    scale = alt.Scale(domain=alt.ExprRef("[-reach, reach]"), nice=False)
    x = {"scale": scale, "axis": alt.Axis(title="α, in % above the predicted threshold", tickCount=5, format="~g")}
    base = alt.Chart(ROWS).encode(y=alt.Y("run:N", sort=None, axis=alt.Axis(title=None, labelLimit=150, grid=False)))
    span = base.mark_rule(color="@c0", strokeWidth=5).encode(x=alt.X("below:Q", **x), x2="above:Q")
    titles = {
        "converging": "largest α that converges",
        "predicted": "predicted threshold",
        "diverging": "smallest α that diverges",
    }
    tooltip = [_word("run"), *(_tip(field, title, ".8~g") for field, title in titles.items())]
    converges = base.mark_point(shape="circle", size=90, filled=True, color="@c0", opacity=1)
    diverges = base.mark_point(shape="cross", size=110, filled=True, color="@c1", opacity=1, angle=45)
    ends = [
        point.encode(x=alt.X(f"{field}:Q", **x), tooltip=tooltip)
        for point, field in ((converges, "below"), (diverges, "above"))
    ]
    predicted = _at("at", 0).mark_rule(color="@ink", strokeDash=[5, 4], strokeWidth=1.5).encode(x=alt.X("at:Q", **x))
    return alt.layer(span, _guide(predicted), *ends).add_params(alt.param(name="reach", value=1.0))


def batch() -> Chart:
    """A quantity against the batch size, log-log: colour for the reduction, shape for the framework."""
    axis = alt.Axis(title="batch size B", values=alt.ExprRef("x_ticks"), format="d", grid=False)
    base = alt.Chart(ROWS).encode(x=alt.X("batch:Q", scale=_log("x"), axis=axis))
    measured = {"y": _y(""), "color": _styles("reduction_slot")["color"]}
    predicted = base.mark_line(strokeDash=[5, 4], strokeWidth=1.5, color="@ink")
    predicted = predicted.encode(y=_y("", "predicted"), detail="reduction:N")
    predicted = _guide(predicted.transform_filter("isValid(datum.predicted)"))
    tooltip = [_word("framework"), _word("reduction"), _tip("batch"), _tip("value", "measured"), _tip("predicted")]
    first = base.mark_point(filled=True, shape="circle", size=190, opacity=0.45).transform_filter("datum.order == 0")
    others = base.mark_point(filled=True, shape="cross", size=60, opacity=1).transform_filter("datum.order > 0")
    points = [layer.encode(**measured, tooltip=tooltip) for layer in (first, others)]
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(**measured, detail="framework:N")
    return _layered(lines, predicted, *points, axes="yx")


def coordinates(interpolate: Literal["linear", "step-after"] = "linear") -> Chart:
    """Effective lr of single coordinates, and the nominal lr dashed on top."""
    base = alt.Chart(ROWS).encode(x=_steps())
    lines = _line(base.transform_filter("datum.slot >= 0"), width=2.4, interpolate=interpolate)
    lines = lines.encode(y=_y("lr"), **_styles("slot"), detail="coordinate:N")
    nominal = _line(base.transform_filter("datum.slot == -1"), "@ink", 1.5, [5, 4], interpolate=interpolate)
    tooltip = [_word("coordinate"), _tip("step"), _tip("value", "lr")]
    return _layered(lines, _guide(nominal.encode(y=_y("lr"))), _touch(base, tooltip))


def steps() -> Chart:
    """Norm of the realised step."""
    base = alt.Chart(ROWS).encode(x=_steps())
    line = _line(base, "@ink", 1.6).encode(y=_y("‖Δθ‖"))
    return _layered(line, _touch(base, [_tip("step"), _tip("value", "‖Δθ‖")]))


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
