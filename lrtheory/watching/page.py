"""The page of a watched run: findings first, then what each group and layer really trained with.

Of a run with many layers a dozen are drawn at a time, worst first, and may be searched, filtered and turned over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..outputs import plain, replace_all
from ..pages.charts import CHARTS, chart_data, runtime
from ..pages.document import render, script_json
from ..pages.figure import POINTS, Block, Figure, Key, Panel, Table, lines, log_axis, pick, positive, thinned
from ..words import number, percent
from .figures import Run, Watched
from .findings import Finding, findings_of
from .table import Row, table_of

PAGE = "index.html"
TEMPLATES = Path(__file__).parent / "templates"
LEVELS = {"warning": ("fails", "Warning"), "hint": ("depends", "Hint")}
#: Layers drawn at a time, and rows of the heat map.
SIZE, ROWS = 12, 48
#: Points of all layers' curves together, for a page of a few megabytes.
BUDGET = 25_000
#: Shares over the steps: figure, title, and the value that says nothing.
SHARES = (
    ("absorbed", "Absorbed: coordinates whose step is lost to rounding", 0.0),
    ("clip_factor", "Clip factor: what clipping left of the gradient", 1.0),
    ("eps_dominated", "Dominated by eps", 0.0),
    ("decay_share", "Weight decay in the step", 0.0),
    ("moved_without_gradient", "Coordinates that moved without a gradient", 0.0),
)
#: What the navigation calls a figure.
SHORT = {
    "groups": "Groups", "effective-lr": "Layers", "heat-map": "Layer × step", "relative-update": "Relative updates",
    "shares": "Absorbed and clipped",
}  # fmt: skip
COLUMNS = {
    "Tensor": lambda row: row.name,
    "Group": lambda row: str(row.group),
    "lr": lambda row: _figure(row.lr),
    "Effective lr": lambda row: _figure(row.effective_lr),
    "Relative update": lambda row: _figure(row.relative_update),
    "Rotation": lambda row: _figure(row.rotation),
    "Absorbed": lambda row: _percent(row.absorbed),
    "Clip factor": lambda row: _figure(row.clip_factor),
    "Dominated by eps": lambda row: _percent(row.eps_dominated),
    "Decay in the step": lambda row: _percent(row.decay_share),
    "Rule": lambda row: row.rule or row.reason or "–",
    "Findings": lambda row: ", ".join(row.findings) or "–",
}


def write_page(run: Run) -> Path:
    """Write ``index.html`` beside the record, and say where.

    Raises
    ------
    ModuleNotFoundError
        Without the packages that draw; the ``watch`` extra has them.
    """
    target = run.out / PAGE
    replace_all({target: page_of(run)})
    return target


def page_of(run: Run) -> str:
    """The page as text."""
    found, table = findings_of(run), table_of(run)
    warnings = Counter(name for finding in found if finding.level == "warning" for name in finding.where)
    rows = sorted(table.rows, key=lambda row: (warnings[row.name], *_badness(row)), reverse=True)
    layers, groups = _data(run, rows)
    figures = [_groups_figure(groups), *_layer_figures(run, layers, groups), _shares_figure(run, layers)]
    return render(
        TEMPLATES,
        "run.html.jinja",
        [runtime(), "page.js", "run.js"],
        ["run.css"],
        run=run,
        lead=_lead(found),
        findings=[_card(finding) for finding in found],
        figures=figures,
        groups=[group["label"] for group in groups],
        short=SHORT,
        columns=list(COLUMNS),
        table=[[cell(row) for cell in COLUMNS.values()] for row in rows],
        charts=script_json(chart_data(figures, CHARTS)),
        layers=script_json(plain({"layers": layers, "groups": groups, "size": SIZE, "rows": ROWS})),
    )


def _lead(found: list[Finding]) -> str:
    counted = Counter(finding.level for finding in found)
    told = [f"{n} {level}{'s' if n > 1 else ''}" for level, n in counted.items()]
    return f"{' and '.join(told)}." if told else "Nothing was found that should be set otherwise."


def _card(finding: Finding) -> dict[str, Any]:
    style, words = LEVELS[finding.level]
    evidence = ", ".join(
        f"{name.replace('_', ' ')} {number(value) if isinstance(value, int | float) else value}"
        for name, value in finding.evidence.items()
    )
    return {
        "style": style, "badge": words, "text": finding.text, "evidence": evidence, "fix": finding.fix, "id": finding.id,
        "where": finding.where, "optimizer": finding.optimizer,
    }  # fmt: skip


def _badness(row: Row) -> tuple[float, ...]:
    """Findings first, then what is lost, then how far the relative update is off the usual."""
    update = row.relative_update
    off = abs(np.log10(update / 1e-3)) if np.isfinite(update) and update > 0 else 0.0
    return len(row.findings), np.nan_to_num(row.absorbed), off


def _data(run: Run, rows: list[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Curves of each layer in the order of the rows, and what its group has, thinned to what a page can hold."""
    points = int(np.clip(BUDGET // max(1, len(rows)), 20, POINTS))
    place = {(row.optimizer, row.name): i for i, row in enumerate(rows)}
    layers: list[dict[str, Any]] = [{} for _ in rows]
    groups: list[dict[str, Any]] = []
    for watched in run.optimizers:
        at = thinned(len(watched.steps), points)
        steps = watched.steps[at].tolist()
        first = len(groups)
        for g in range(watched.groups["lr"].shape[1] if len(watched.steps) else 0):
            own = [i for i, t in enumerate(watched.tensors) if t["group"] == g]
            label = f"{watched.name}, group {g}" if len(run.optimizers) > 1 else f"group {g}"
            groups.append({"label": label, "step": steps, **_group_curves(watched, g, own, at)})
        for i, tensor in enumerate(watched.tensors):
            key = watched.name, tensor["name"]
            if key in place and first + tensor["group"] < len(groups):
                group = groups[first + tensor["group"]]
                layers[place[key]] = {
                    "name": tensor["name"], "group": first + tensor["group"], "place": i,
                    **_layer_curves(watched, i, at, group["nominal"]),
                }  # fmt: skip
    return [layer for layer in layers if layer], groups


def _layer_curves(watched: Watched, i: int, at: list[int], nominal: Any) -> dict[str, Any]:
    figures = watched.figures
    band = {f"q{int(100 * q):02}": figures["quantiles"][:, i, j] for j, q in ((0, 0.05), (2, 0.5), (4, 0.95))}
    lr = watched.groups["lr"][:, watched.tensors[i]["group"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log10(band["q50"] / lr)
    curves = {**{name: _positive(v) for name, v in band.items()}, "ratio": ratio}
    curves["update"] = _positive(figures["relative_update"][:, i])
    curves |= {name: figures[name][:, i] for name, *_ in SHARES}
    return {name: _curve(values, at) for name, values in curves.items()}


def _group_curves(watched: Watched, g: int, own: list[int], at: list[int]) -> dict[str, Any]:
    """The lr of a group, and how the median effective lr of its layers spreads."""
    nominal = _curve(_positive(watched.groups["lr"][:, g]), at)
    middles = watched.figures["quantiles"][:, own, 2]
    known = ~np.isnan(middles).all(axis=0) if own else np.zeros(0, bool)
    middles = middles[:, known]
    band = {f"q{int(100 * q):02}": np.full(len(watched.steps), np.nan) for q in (0.05, 0.5, 0.95)}
    for step in np.flatnonzero(~np.isnan(middles).all(axis=1)) if middles.shape[1] else ():
        values = middles[step][~np.isnan(middles[step])]
        for name, q in zip(band, (0.05, 0.5, 0.95), strict=True):
            band[name][step] = np.quantile(values, q)
    return {"nominal": nominal, "layers": len(own)} | {name: _curve(_positive(v), at) for name, v in band.items()}


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _curve(values: np.ndarray, at: list[int]) -> Any:
    """Values at those steps, and one number in place of a constant curve."""
    drawn = plain(pick(values.tolist(), at))
    return drawn[0] if drawn and all(value == drawn[0] for value in drawn) else drawn


def _groups_figure(groups: list[dict[str, Any]]) -> Figure:
    shown = groups[:SIZE]
    bands = [{name: group[name] for name in ("nominal", "q05", "q50", "q95")} for group in shown]
    axis = log_axis(_list(curve) for band in bands for curve in band.values())
    panels = [
        Panel(f"{g['label']}: {g['layers']} tensors", "ribbon", [{"step": g["step"], **band}], axis)
        for g, band in zip(shown, bands, strict=True)
    ]
    return Figure(
        id="groups",
        title="Effective learning rate of each parameter group",
        reading="The median effective lr of every layer, over the layers of a group: the band holds 90 % of them. A band far "
        "from the dashed line trains with another lr than was set.",
        panels=panels,
        keys=[Key("nominal lr", "ink", "dashed"), Key("median layer", "c0"), Key("5 to 95 % of layers", "c0", "band")],
    )


def _list(curve: Any) -> list[float | None]:
    return curve if isinstance(curve, list) else [curve]


def _layer_figures(run: Run, layers: list[dict[str, Any]], groups: list[dict[str, Any]]) -> Iterable[Figure]:
    """Figures whose layers a script chooses; their axes hold all layers."""
    bands = [
        *(_list(layer[q]) for layer in layers for q in ("q05", "q50", "q95")),
        *(_list(g["nominal"]) for g in groups),
    ]
    axis = log_axis(map(positive, bands))
    yield Figure(
        id="effective-lr",
        title="Effective learning rate of each layer",
        reading="The effective lr of a coordinate is its step for a unit of direction. The band holds 90 % of a layer's "
        "coordinates; a layer whose band lies far below the dashed line trains with a smaller lr than was set.",
        panels=[Panel("–", "ribbon", [], axis, live=True, height=150) for _ in range(min(SIZE, len(layers)))],
        keys=[Key("nominal lr", "ink", "dashed"), Key("median", "c0"), Key("5 to 95 % of coordinates", "c0", "band")],
    )
    ratios = [
        abs(value) for layer in layers for value in _list(layer["ratio"]) if value is not None and np.isfinite(value)
    ]
    reach = max([*ratios, 0.1])
    yield Figure(
        id="heat-map",
        title="Where and when the effective lr leaves the nominal one",
        reading="Colour is the base-ten logarithm of the median effective lr over the nominal lr: 0 is what was set, +1 ten "
        "times more, −1 ten times less.",
        panels=[Panel("Layer × step", "heat-map", [], {"reach": reach}, reach=number(reach, 2), live=True)]
        if layers
        else [],
        layout="wide",
    )
    axis = log_axis([*(positive(_list(layer["update"])) for layer in layers), [1e-3]], span=1e9)
    yield Figure(
        id="relative-update",
        title="Relative update of each layer",
        reading="Norm of the step over norm of the parameter. Near 1e-3 is a rule of thumb for healthy training, not a "
        "law: a layer far below it hardly learns, and one far above it is rewritten in a few steps.",
        panels=[Panel("‖Δθ‖ / ‖θ‖", "relative-update", [], axis, live=True, height=260)] if layers else [],
        layout="wide",
    )


def _shares_figure(run: Run, layers: list[dict[str, Any]]) -> Figure:
    panels, none = [], []
    for name, title, nothing in SHARES:
        values = {value for layer in layers for value in _list(layer[name])} - {None, nothing}
        if values:
            panels.append(Panel(title, "shares", [], {"share": name}, live=True, height=150))
        else:
            none.append(f"{title.partition(':')[0].lower()} {number(nothing)}")
    panels += [panel for watched in run.optimizers for panel in _clip_panels(watched)]
    reading = "Over the measured steps, of the layers that are chosen above."
    if none:
        reading += f" The same throughout, and not drawn: {', '.join(none)}."
    return Figure(
        id="shares", title="What was absorbed, clipped and decayed", reading=reading, panels=panels, layout="pairs",
        tables=[] if panels else [Table("Nothing was absorbed, clipped or decayed.", ["Figure"], [])],
    )  # fmt: skip


def _clip_panels(watched: Watched) -> Iterable[Panel]:
    norm, most = (watched.groups[name][:, 0] for name in ("norm", "max_norm"))
    if np.isfinite(norm).any():
        curves = {"value": plain(norm.tolist()), "most": plain(most.tolist())}
        axis = log_axis(map(positive, curves.values()))
        block: Block = lines(watched.steps.tolist(), **curves)
        keys = [Key("norm of the gradient", "c0"), Key("largest that passes", "ink", "dashed")]
        yield Panel(f"{watched.name}: gradients before clipping", "norms", [block], axis, keys=keys, height=150)


def _figure(value: float) -> str:
    return "–" if np.isnan(value) else number(value)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else percent(value)
