"""The parity matrix: rule and options down, implementations across, one view for each dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .data import FirstDifference, ParityRow
from .figure import name, number

BINS = 8
"""Shades of a cell: up to 1e-16, then two decades each, then from 1e-4 on."""


@dataclass(frozen=True)
class Cell:
    """One run against one implementation."""

    text: str
    shade: int
    outcome: str  # pass, fail, known or none: how the gate judged it
    outcome_text: str
    detail: str


@dataclass(frozen=True)
class Line:
    """One rule with one set of options under one schedule."""

    options: str
    schedule: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class View:
    """The matrix for one dtype; a column is an implementation and the mode of replay."""

    label: str
    columns: list[tuple[str, str]]
    rules: dict[str, list[Line]]
    passed: int
    failed: int
    reported: int


def views(rows: list[ParityRow]) -> list[View]:
    """A view for every dtype there is, in order of appearance."""
    return [_view(d, [row for row in rows if row["dtype"] == d]) for d in dict.fromkeys(row["dtype"] for row in rows)]


def _view(label: str, rows: list[ParityRow]) -> View:
    columns = list(dict.fromkeys((row["implementation"], row["mode"]) for row in rows))
    found: dict[tuple[str, str, str], dict[tuple[str, str], Cell]] = {}
    for row in rows:
        line = found.setdefault((row["rule"], row["options"], row["schedule"]), {})
        line[row["implementation"], row["mode"]] = _cell(row)
    rules: dict[str, list[Line]] = {}
    for (rule, options, schedule), cells in found.items():
        line = Line(options or "defaults", schedule, [cells.get(column) for column in columns])
        rules.setdefault(name(rule), []).append(line)
    judged = [row["passed"] for row in rows]
    return View(label, columns, rules, judged.count(True), judged.count(False), judged.count(None))


def shade(error: float | None) -> int:
    """Index of the shade of an error; what is not finite has the darkest."""
    if error is None or not math.isfinite(error):
        return BINS - 1
    if error <= 0:
        return 0
    return min(max(math.floor((math.log10(error) + 16) / 2) + 1, 0), BINS - 1)


def _cell(row: ParityRow) -> Cell:
    error = row["largest_error"]
    if row["passed"] is not None:
        outcome, words = ("pass", "within the bound") if row["passed"] else ("fail", "beyond the bound")
    else:
        outcome, words = ("known", "differs by design") if row["note"] else ("none", "reported only")
    return Cell("exact" if error == 0 else number(error, 2), shade(error), outcome, words, _detail(row, words))


def _detail(row: ParityRow, words: str) -> str:
    bound = "" if row["gate"] is None else f" (bound {number(row['gate'], 2)})"
    sentences = [
        f"{name(row['rule'])} {row['options'] or 'defaults'}, {row['schedule']} lr, {row['mode']} against {row['implementation']}: "
        f"{words}{bound}.",
        f"Largest error {number(row['largest_error'], 3)} of the distance travelled in {row['steps']} steps; "
        f"in ulp: median {number(row['ulp_median'])}, 99 % within {number(row['ulp_99'])}, "
        f"largest {number(row['ulp_largest'])}.",
        _first(row["first_difference"]),
        row["note"],
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _first(difference: FirstDifference | None) -> str:
    if difference is None:
        return "No difference beyond rounding."
    where = f"{difference['tensor']}[{', '.join(map(str, difference['coordinate']))}]"
    return (
        f"First difference at step {difference['step']} in {where}: "
        f"ours {number(difference['ours'], 9)}, theirs {number(difference['theirs'], 9)}."
    )
