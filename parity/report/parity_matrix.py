"""The parity matrix: rule and options down, implementations across, one view for each dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..measured import FirstDifference, ParityRow
from .figure import name, number

BINS = 8
"""Shades of a cell: up to 1e-16, then two decades each, then from 1e-4 on."""


@dataclass(frozen=True)
class Cell:
    """One run against one implementation; ``index`` is that of its row in the data."""

    index: int
    text: str
    shade: int
    outcome: str  # pass, fail, known, none or refused: how the gate judged it
    outcome_text: str
    detail: str
    refused: str = ""  # in the implementation's own words


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
    refused: int


def views(rows: list[ParityRow]) -> list[View]:
    """A view for every dtype there is, in order of appearance."""
    numbered = list(enumerate(rows))
    dtypes = dict.fromkeys(row["dtype"] for row in rows)
    return [_view(dtype, [(i, row) for i, row in numbered if row["dtype"] == dtype]) for dtype in dtypes]


def _view(label: str, rows: list[tuple[int, ParityRow]]) -> View:
    implementations = list(dict.fromkeys(row["implementation"] for _, row in rows))
    columns = list(dict.fromkeys((row["implementation"], row["mode"]) for _, row in rows))
    columns.sort(key=lambda column: implementations.index(column[0]))  # free and forced side by side
    found: dict[tuple[str, str, str], dict[tuple[str, str], Cell]] = {}
    for index, row in rows:
        line = found.setdefault((row["rule"], row["options"], row["schedule"]), {})
        line[row["implementation"], row["mode"]] = _cell(index, row)
    rules: dict[str, list[Line]] = {}
    for (rule, options, schedule), cells in found.items():
        line = Line(options or "defaults", schedule, [cells.get(column) for column in columns])
        rules.setdefault(name(rule), []).append(line)
    judged = [_outcome(row)[0] for _, row in rows]
    reported = judged.count("known") + judged.count("none")
    return View(label, columns, rules, judged.count("pass"), judged.count("fail"), reported, judged.count("refused"))


def shade(error: float | None) -> int:
    """Index of the shade of an error; what is not finite has the darkest."""
    if error is None or not math.isfinite(error):
        return BINS - 1
    if error <= 0:
        return 0
    return min(max(math.floor((math.log10(error) + 16) / 2) + 1, 0), BINS - 1)


def full_details(rows: list[ParityRow]) -> list[dict[str, Any]]:
    """All that is known of each row, for the reader who chooses its cell; plain JSON values."""
    return [_full_detail(row) for row in rows]


def _full_detail(row: ParityRow) -> dict[str, Any]:
    if row["refused"]:
        facts = [["Verdict", "refused"], ["In its own words", row["refused"]]]
        return {
            "title": _title(row),
            "facts": facts,
            "values": [],
            "caption": "",
            "curve": [],
            "steps": 0,
            "bound": None,
        }
    first = row["first_difference"]
    facts = [
        ["Verdict", f"{_outcome(row)[1]}{_bound(row)}"],
        ["Largest error", f"{number(row['largest_error'], 3)} of the distance travelled"],
        [
            "In ulp",
            f"median {number(row['ulp_median'])}, 99 % within {number(row['ulp_99'])}, largest {number(row['ulp_largest'])}",
        ],
        *_shares(row),
        ["First difference", "none beyond rounding" if first is None else _where(first)],
    ]
    if row["note"]:
        facts.append(["Why", row["note"]])
    return {
        "title": _title(row),
        "facts": facts,
        "values": [] if first is None else _values(first, row["implementation"]),
        "caption": f"Largest error of any parameter or state over the {row['steps']} steps"
        + (", and the bound" if row["gate"] else ""),
        "curve": [None if error is None else float(f"{error:.3g}") for error in row["error_by_step"]],
        "steps": row["steps"],
        "bound": row["gate"],
    }


def _shares(row: ParityRow) -> list[list[str]]:
    """Below float64: errors of single steps over the bound derived for them."""
    if row["bound_share"] is None:
        return []
    theirs = row["their_bound_share"]
    told = f"ours up to {number(row['bound_share'], 2)} of the bound derived for it"
    return [["One step", told if theirs is None else f"{told}, {row['implementation']} up to {number(theirs, 2)}"]]


def _values(first: FirstDifference, implementation: str) -> list[list[str]]:
    """Both values, and the true one with the distance of each from it where it was asked for."""
    truth = first["truth"]
    lines = [["lrtheory", first["ours"]], [implementation, first["theirs"]]]
    if truth is None:
        return [[who, _digits(value)] for who, value in lines]
    told = [[who, _digits(value), f"off by {number(abs(value - truth), 2)}"] for who, value in lines]
    return [*told, ["high precision", _digits(truth), ""]]


def _digits(value: float | None) -> str:
    return "not finite" if value is None else repr(value)


def _outcome(row: ParityRow) -> tuple[str, str]:
    if row["refused"]:
        return "refused", "refused"
    if row["passed"] is not None:
        return ("pass", "within the bound") if row["passed"] else ("fail", "beyond the bound")
    return ("known", "differs by design") if row["note"] else ("none", "reported only")


def _cell(index: int, row: ParityRow) -> Cell:
    error = row["largest_error"]
    outcome, words = _outcome(row)
    if row["refused"]:
        told = f"{_title(row)}: refused. {row['refused']}"
        return Cell(index, "refused", 0, outcome, words, told, row["refused"])
    text = "exact" if error == 0 else number(error, 2)
    return Cell(index, text, shade(error), outcome, words, _detail(row, words))


def _bound(row: ParityRow) -> str:
    if row["gate"] is not None:
        return f" (bound {number(row['gate'], 2)})"
    return "" if row["passed"] is None else " (derived, of each of our steps)"


def _title(row: ParityRow) -> str:
    return (
        f"{name(row['rule'])} {row['options'] or 'defaults'}, {row['schedule']} lr, "
        f"{row['mode']} against {row['implementation']}"
    )


def _detail(row: ParityRow, words: str) -> str:
    first = row["first_difference"]
    sentences = [
        f"{_title(row)}: {words}{_bound(row)}.",
        f"Largest error {number(row['largest_error'], 3)} of the distance travelled in {row['steps']} steps; "
        f"in ulp: median {number(row['ulp_median'])}, 99 % within {number(row['ulp_99'])}, "
        f"largest {number(row['ulp_largest'])}.",
        "No difference beyond rounding."
        if first is None
        else f"First difference at {_where(first)}: ours {number(first['ours'], 9)}, theirs {number(first['theirs'], 9)}.",
        row["note"],
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _where(difference: FirstDifference) -> str:
    where = f"{difference['tensor']}[{', '.join(map(str, difference['coordinate']))}]"
    return f"step {difference['step']} in {where}"
