"""What a figure is made of, and how measured numbers become drawable ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

POINTS = 100
"""A curve is thinned to this many points; the data beside the page holds them all."""

SLOTS = 14
"""Styles that tell curves apart: seven colours solid, then the same seven dashed."""

Block = dict[str, Any]
"""Columns of a panel's data table; a value that is not a list stands for a constant column."""

AXES = {"step", "since", "batch", "nominal", "predicted"}
"""Columns that a measurement is drawn against: alone they make no picture."""

Curve = list[float | None]
"""Values over steps; ``None`` is drawn as a gap."""

Run = TypeVar("Run")


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a style of ``page.css`` (a colour variable and a kind of line) and what it stands for."""

    label: str
    colour: str
    line: Literal["solid", "thick", "dashed", "dotted", "band", "dot", "cross"] = "solid"


@dataclass(frozen=True)
class Panel:
    """One picture: a chart of :mod:`.charts` by name, and its data."""

    title: str
    chart: str
    blocks: list[Block]
    params: dict[str, Any] = field(default_factory=dict)
    note: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    run: int | None = None  # shown only while that training run is chosen
    height: int = 190  # pixels, axes left out
    reach: str | None = None  # end of the diverging colour scale, which is shown if there is one
    live: bool = False  # data come from a script of the page, as events named "picture"

    @property
    def empty(self) -> bool:
        """Whether there is no finite number to draw."""
        if self.live:
            return False
        columns = [values for block in self.blocks for key, values in block.items() if key not in AXES]
        return not any(
            isinstance(value, int | float) for column in columns if isinstance(column, list) for value in column
        )


@dataclass(frozen=True)
class Table:
    """A plain table; the first column holds the row's heading."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    run: int | None = None
    prose: bool = False  # cells are sentences, which wrap
    summary: str = "Numbers"  # what opens it, where it stands below pictures
    open: bool = False

    @classmethod
    def of(cls, caption: str, runs: Iterable[Run], columns: Mapping[str, Callable[[Run], str]], **more: Any) -> Table:
        """A row for each of the runs: what the columns, by their heads, make of it."""
        return cls(caption, list(columns), [[cell(run) for cell in columns.values()] for run in runs], **more)


@dataclass(frozen=True)
class Figure:
    """Pictures that answer one question, with the sentence on how to read them."""

    id: str
    title: str
    reading: str
    panels: list[Panel] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    layout: Literal["grid", "pairs", "wide"] = "grid"  # panels on a line: as many as fit, at most two, one


def thinned(length: int, points: int = POINTS) -> list[int]:
    """At most ``points`` indices, evenly spread, the first and the last among them."""
    if length <= points:
        return list(range(length))
    return sorted({round(i * (length - 1) / (points - 1)) for i in range(points)})


def pick(values: Sequence[Any], indices: list[int]) -> list[Any]:
    """The values at those indices, numbers rounded to four digits."""
    return [rounded(values[i]) for i in indices]


def rounded(value: Any) -> Any:
    """Four significant digits: more than a pixel can show."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def positive(curve: Curve) -> Curve:
    """What a log axis can show; the rest becomes a gap."""
    return [value if value is not None and value > 0 else None for value in curve]


def lines(step: Sequence[int], **columns: Any) -> Block:
    """Curves over the steps, thinned, for a log axis; what is no list is the same at every step."""
    at = thinned(len(step))
    drawn = {name: pick(positive(c), at) if isinstance(c, list) else c for name, c in columns.items()}
    return {"step": pick(step, at), **drawn}


def log_axis(
    curves: Iterable[Iterable[float | None]],
    *,
    axis: str = "y",
    span: float = 1e12,
    cap: float = math.inf,
    margin: float = 1.25,
) -> dict[str, Any]:
    """Params of a log axis that suits those curves.

    It reaches from ``span`` below the largest value up to it, and not above ``cap``: what diverges leaves the picture
    instead of flattening the rest.
    """
    values = [value for curve in curves for value in curve if value is not None and 0 < value <= cap]
    high = max(values, default=1.0)
    low = max(min(values, default=0.1), high / span)
    low, high = low / margin, high * margin
    return {f"{axis}_low": low, f"{axis}_high": high, f"{axis}_ticks": log_ticks(low, high)}


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten between the limits, every so many if there are more; in less than two decades 2s and 5s too."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8)):
        ticks = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: math.ceil(len(ticks) / most)] if ticks else [rounded(low), rounded(high)]


def slot(position: int) -> int:
    """The style of the curve at that position of a legend."""
    return position % SLOTS


def slot_keys(labels: Iterable[str]) -> list[Key]:
    """The legend of curves in their order."""
    styles = [(label, slot(position)) for position, label in enumerate(labels)]
    return [Key(label, f"c{style % 7}", "solid" if style < 7 else "dashed") for label, style in styles]
