"""Charts, each once as a Vega-Lite specification without data, and the runtime that draws them.

Colours are names of variables in ``page.css`` behind an ``@``: the page puts in the values of the light or the dark
theme. Data, the values of params and the height come with each panel. Layers that are no measurement are named
``guide`` or ``touch``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import altair as alt
import vl_convert

from .figure import SLOTS, Figure

ROWS = alt.NamedData(name="rows")
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
COLOURS = [f"@c{i}" for i in range(7)] * (SLOTS // 7)
DASHES = [[1, 0]] * 7 + [[5, 3]] * 7


def log_scale(axis: str = "y") -> alt.Scale:
    """Between the limits that a panel gives."""
    return alt.Scale(type="log", domain=alt.ExprRef(f"[{axis}_low, {axis}_high]"), nice=False)


def bounds(axis: str = "y") -> tuple[alt.Parameter, alt.Parameter, alt.Parameter]:
    """The params that :func:`~lrtheory.pages.figure.log_axis` fills."""
    return (
        alt.param(name=f"{axis}_low", value=0.1),
        alt.param(name=f"{axis}_high", value=1.0),
        alt.param(name=f"{axis}_ticks", value=[0.1, 1.0]),
    )


LABEL = "datum.value >= 1e-3 && datum.value < 1e4 ? format(datum.value, '~g') : replace(format(datum.value, '.1~e'), '+', '')"


def value_axis(title: str, axis: str = "y") -> alt.Axis:
    """With a panel's ticks, powers of ten as such."""
    return alt.Axis(title=title or None, values=alt.ExprRef(f"{axis}_ticks"), labelExpr=LABEL)


def step_axis(field: str = "step", title: str = "step") -> alt.X:
    """Steps from left to right."""
    axis = alt.Axis(title=title, tickCount=5, grid=False, format="d", labelOverlap=True)
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False, zero=False))


def slot_styles(field: str = "slot") -> tuple[alt.Color, alt.StrokeDash]:
    """Colour and dashes of a curve by its place in the legend."""
    domain = list(range(SLOTS))
    return (
        alt.Color(f"{field}:N", scale=alt.Scale(domain=domain, range=COLOURS), legend=None),
        alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=domain, range=DASHES), legend=None),
    )


def touch(base: alt.Chart, tooltip: list[alt.Tooltip], y: str = "value:Q") -> alt.Chart:
    """Invisible points that a pointer finds more easily than a line."""
    return (
        base.mark_point(size=90, opacity=0, filled=True, clip=True)
        .properties(name="touch")
        .encode(y=y, tooltip=tooltip)
    )


def tip(field: str, title: str | None = None, format: str = ".4~g") -> alt.Tooltip:
    """A number in a tooltip."""
    return alt.Tooltip(f"{field}:Q", title=title or field, format=format)


def word(field: str, title: str | None = None) -> alt.Tooltip:
    """A name in a tooltip."""
    return alt.Tooltip(f"{field}:N", title=title or field)


def ribbon() -> Chart:
    """Effective lr of one layer: 5 to 95 % as a band, the median, and the nominal lr dashed."""
    y = {"scale": log_scale(), "axis": value_axis("lr")}
    base = alt.Chart(ROWS).encode(x=step_axis())
    band = base.mark_area(color="@c0", opacity=0.28, clip=True).encode(y=alt.Y("q05:Q", **y), y2="q95:Q")
    median = base.mark_line(color="@c0", strokeWidth=2, clip=True).encode(y=alt.Y("q50:Q", **y))
    nominal = base.mark_line(color="@ink", strokeDash=[5, 4], strokeWidth=1.5, clip=True)
    nominal = nominal.encode(y=alt.Y("nominal:Q", **y)).properties(name="guide")
    tooltip = [tip("step"), tip("nominal"), tip("q95", "95 %"), tip("q50", "median"), tip("q05", "5 %")]
    return alt.layer(band, median, nominal, touch(base, tooltip, "q50:Q")).add_params(*bounds())


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
            x=step_axis("since"),
            x2="step:Q",
            y=alt.Y("layer:N", sort=None, axis=alt.Axis(title=None, labelLimit=130, grid=False)),
            color=alt.Color("ratio:Q", scale=scale, legend=None),
            tooltip=[word("layer"), tip("step"), tip("ratio", "log10(effective/nominal)")],
        )
        .add_params(reach)
    )


def relative_update() -> Chart:
    """Relative update of every layer, with the rule of thumb 1e-3."""
    y = alt.Y("value:Q", scale=log_scale(), axis=value_axis("‖Δθ‖ / ‖θ‖"))
    colour, dash = slot_styles()
    base = alt.Chart(ROWS).encode(x=step_axis())
    lines = base.mark_line(strokeWidth=1.6, clip=True).encode(y=y, color=colour, strokeDash=dash)
    guide = alt.Chart(alt.InlineData(values=[{"guide": 1e-3}])).mark_rule(
        color="@ink", strokeDash=[2, 3], strokeWidth=1.5
    )
    guide = guide.encode(y=alt.Y("guide:Q", scale=log_scale())).properties(name="guide")
    words = alt.Chart(alt.InlineData(values=[{"guide": 1e-3}])).mark_text(
        text="rule of thumb: 1e-3", align="left", dx=4, dy=-7, color="@ink", fontSize=11
    )
    words = words.encode(x=alt.value(0), y=alt.Y("guide:Q", scale=log_scale()))
    tooltip = [word("layer"), tip("step"), tip("value", "relative update")]
    return alt.layer(lines, guide, words, touch(base, tooltip)).add_params(*bounds())


def shares() -> Chart:
    """A share of each layer's coordinates, or a factor up to 1."""
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=None, format="~g", tickCount=5))
    colour, dash = slot_styles()
    base = alt.Chart(ROWS).encode(x=step_axis())
    lines = base.mark_line(strokeWidth=1.6, clip=True).encode(y=y, color=colour, strokeDash=dash)
    return alt.layer(lines, touch(base, [word("layer"), tip("step"), tip("value")]))


def norms() -> Chart:
    """Norm of the gradient that a clip saw, and the largest that it lets through."""
    y = {"scale": log_scale(), "axis": value_axis("‖g‖")}
    base = alt.Chart(ROWS).encode(x=step_axis())
    norm = base.mark_line(color="@c0", strokeWidth=1.6, clip=True).encode(y=alt.Y("value:Q", **y))
    most = base.mark_line(color="@ink", strokeDash=[5, 4], strokeWidth=1.5, clip=True)
    most = most.encode(y=alt.Y("most:Q", **y)).properties(name="guide")
    return alt.layer(norm, most, touch(base, [tip("step"), tip("value", "norm"), tip("most")])).add_params(*bounds())


CHARTS = {
    "ribbon": ribbon,
    "heat-map": heat_map,
    "relative-update": relative_update,
    "shares": shares,
    "norms": norms,
}


@functools.cache
def specification(chart: Callable[[], Chart]) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, as wide as its place on the page."""
    spec = chart().properties(width="container").to_dict()
    # The page brings its own configuration, and $schema is an address that nothing may load.
    return {key: value for key, value in spec.items() if key not in ("config", "$schema")}


def chart_data(figures: Iterable[Figure], charts: Mapping[str, Callable[[], Chart]]) -> dict[str, Any]:
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
    return {"specs": {name: specification(charts[name]) for name in used}, "panels": panels}


@functools.cache
def runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script, in the version that the charts are written for."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the chart runtime of vl-convert cannot be put into a <script> element as it is")
    return script
