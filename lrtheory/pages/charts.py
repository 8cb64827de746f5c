"""Charts, each once as a Vega-Lite specification without data, and the runtime that draws them.

Data, the values of params and the height come with each panel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import altair as alt
import vl_convert

from . import marks as m
from .figure import Figure


def ribbon() -> m.Chart:
    """Effective lr of one layer: 5 to 95 % as a band, the median, and the nominal lr dashed."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    band = base.mark_area(color="@c0", opacity=0.28, clip=True).encode(y=m.log_y("lr", "q05"), y2="q95:Q")
    median = m.line(base, "@c0").encode(y=m.log_y("lr", "q50"))
    nominal = m.guide(m.line(base, "@ink", 1.5, [5, 4]).encode(y=m.log_y("lr", "nominal")))
    tooltip = [m.tip("step"), m.tip("nominal"), m.tip("q95", "95 %"), m.tip("q50", "median"), m.tip("q05", "5 %")]
    return m.layered(band, median, nominal, m.touch(base, tooltip, "q50:Q"))


def heat_map() -> m.Chart:
    """Layer × step, coloured by log10(effective/nominal)."""
    colours, reach = ["@low", "@middle", "@high"], alt.ExprRef("[-reach, 0, reach]")
    scale = alt.Scale(domain=reach, range=colours, interpolate="lab", clamp=True)
    cells = alt.Chart(m.ROWS).mark_rect()
    cells = cells.encode(
        x=m.step_axis("since"),
        x2="step:Q",
        y=alt.Y("layer:N", sort=None, axis=m.name_axis()),
        color=alt.Color("ratio:Q", scale=scale, legend=None),
        tooltip=[m.word("layer"), m.tip("step"), m.tip("ratio", "log10(effective/nominal)")],
    )
    return cells.add_params(alt.param(name="reach", value=1.0))


def relative_update() -> m.Chart:
    """Relative update of every layer, with the rule of thumb 1e-3."""
    base, thumb = alt.Chart(m.ROWS).encode(x=m.step_axis()), alt.Y("guide:Q", scale=m.log_scale())
    lines = m.line(base, width=1.6).encode(y=m.log_y("‖Δθ‖ / ‖θ‖"), **m.styles("slot"))
    guide = m.guide(m.at("guide", 1e-3).mark_rule(color="@ink", strokeDash=[2, 3], strokeWidth=1.5).encode(y=thumb))
    words = m.at("guide", 1e-3).mark_text(
        text="rule of thumb: 1e-3", align="left", dx=4, dy=-7, color="@ink", fontSize=11
    )
    words = words.encode(x=alt.value(0), y=thumb)
    tooltip = [m.word("layer"), m.tip("step"), m.tip("value", "relative update")]
    return m.layered(lines, guide, words, m.touch(base, tooltip))


def shares() -> m.Chart:
    """A share of each layer's coordinates, or a factor up to 1."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(title=None, format="~g", tickCount=5))
    lines = m.line(base, width=1.6).encode(y=y, **m.styles("slot"))
    return alt.layer(lines, m.touch(base, [m.word("layer"), m.tip("step"), m.tip("value")]))


def norms() -> m.Chart:
    """Norm of the gradient that a clip saw, and the largest that it lets through."""
    base = alt.Chart(m.ROWS).encode(x=m.step_axis())
    norm = m.line(base, "@c0", 1.6).encode(y=m.log_y("‖g‖"))
    most = m.guide(m.line(base, "@ink", 1.5, [5, 4]).encode(y=m.log_y("‖g‖", "most")))
    return m.layered(norm, most, m.touch(base, [m.tip("step"), m.tip("value", "norm"), m.tip("most")]))


CHARTS = {
    "ribbon": ribbon,
    "heat-map": heat_map,
    "relative-update": relative_update,
    "shares": shares,
    "norms": norms,
}


@functools.cache
def specification(chart: Callable[[], m.Chart]) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, as wide as its place on the page."""
    spec = chart().properties(width="container").to_dict()
    # The page brings its own configuration, and $schema is an address that nothing may load.
    return {key: value for key, value in spec.items() if key not in ("config", "$schema")}


def chart_data(figures: Iterable[Figure], charts: Mapping[str, Callable[[], m.Chart]]) -> dict[str, Any]:
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
