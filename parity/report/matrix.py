"""The parity matrix: rule and options down, implementations across, a view for each dtype; in the report, or alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrtheory.outputs import plain, replace_all
from lrtheory.words import number, spoken

from ..measured import FirstDifference, ParityRow

TEMPLATES = Path(__file__).parent / "templates"
TITLE = "Parity: every rule and option against every implementation"
READING = (
    "Each cell is the largest difference between lrtheory and that implementation, fed the same gradients, over the "
    "distance travelled. About 1e-16 is rounding in float64, about 1e-7 in float32, 1e-3 in half precision. Free runs evolve "
    "alone; forced runs are put back to the reference state before every step, which tells a wrong rule from accumulated "
    "rounding."
)
SHADES = ("≤ 1e-16", "1e-15", "1e-13", "1e-11", "1e-9", "1e-7", "1e-5", "≥ 1e-4")
"""Of a cell: up to 1e-16, then two decades each, then from 1e-4 on."""

MARKS = {
    "pass": "within the bound",
    "fail": "beyond the bound",
    "known": "differs by design",
    "none": "reported only",
    "refused": "refused by the implementation",
}


@dataclass(frozen=True)
class Cell:
    """One run against one implementation; ``index`` is that of its row in the data."""

    index: int
    text: str
    shade: int
    outcome: str  # a key of MARKS: how the gate judged it
    detail: str
    refused: str  # in the implementation's own words


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


@dataclass(frozen=True)
class Matrix:
    """What the template of the matrix is filled with."""

    views: list[View]
    cells: str
    title: str = TITLE
    reading: str = READING
    shades: tuple[str, ...] = SHADES
    marks: dict[str, str] = field(default_factory=lambda: dict(MARKS))


def matrix(rows: list[ParityRow]) -> Matrix:
    """The matrix of these rows."""
    from lrtheory.pages.document import script_json  # a matrix in the terminal needs no templates

    return Matrix(views(rows), script_json([full_detail(row) for row in rows]))


def write_page(rows: list[ParityRow], out: Path, versions: dict[str, str], created: str) -> Path:
    """Write the matrix alone as one offline page.

    Parameters
    ----------
    rows
        As :func:`parity.matrix.rows` gives them.
    out
        The file; an existing one is replaced when the new one is whole.
    versions, created
        What was run, and when (ISO date and time, UTC).

    Raises
    ------
    OSError
        Where it cannot be written. A page that was there is then as it was.
    """
    from lrtheory.pages.document import render

    given = {"matrix": matrix(plain(rows)), "versions": versions, "created": created}
    replace_all({out: render(TEMPLATES, "matrix_page.html.jinja", ["matrix.js"], ["matrix.css"], **given)})
    return out


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
        rules.setdefault(spoken(rule), []).append(line)
    judged = [_outcome(row) for _, row in rows]
    reported = judged.count("known") + judged.count("none")
    return View(label, columns, rules, judged.count("pass"), judged.count("fail"), reported, judged.count("refused"))


def _outcome(row: ParityRow) -> str:
    if row["refused"]:
        return "refused"
    if row["passed"] is not None:
        return "pass" if row["passed"] else "fail"
    return "known" if row["note"] else "none"


def shade(error: float | None) -> int:
    """Index of the shade of an error; what is not finite has that of the largest."""
    if error is None or not math.isfinite(error):
        return len(SHADES) - 1
    return min(max(math.floor((math.log10(error) + 16) / 2) + 1, 0), len(SHADES) - 1) if error > 0 else 0


def _cell(index: int, row: ParityRow) -> Cell:
    """What a cell shows, and what is told of it in a line: its title, and the facts of the full detail."""
    told = "; ".join(f"{label.lower()}: {words}" if label else words for label, words in _facts(row, short=True))
    error, refused = row["largest_error"], row["refused"]
    text = "refused" if refused else "exact" if error == 0 else number(error, 2)
    return Cell(index, text, 0 if refused else shade(error), _outcome(row), f"{_title(row)}: {told}", refused)


def full_detail(row: ParityRow) -> dict[str, Any]:
    """All that is known of a row, for the reader who chooses its cell; plain JSON values."""
    first = row["first_difference"]
    return {
        "title": _title(row),
        "facts": _facts(row),
        "values": [] if first is None else _values(first, row["implementation"]),
        "caption": f"Largest error of any parameter or state over the {row['steps']} steps"
        + (", and the bound" if row["gate"] else ""),
        "curve": [None if error is None else float(f"{error:.3g}") for error in row["error_by_step"]],
        "steps": row["steps"],
        "bound": row["gate"],
    }


def _title(row: ParityRow) -> str:
    return (
        f"{spoken(row['rule'])} {row['options'] or 'defaults'}, {row['schedule']} lr, "
        f"{row['mode']} against {row['implementation']}"
    )


def _facts(row: ParityRow, short: bool = False) -> list[list[str]]:
    """What is known of a row, as labels and words; in short, for a line, with the two values that first differ."""
    verdict, words = "" if short else "Verdict", MARKS[_outcome(row)]
    if row["refused"]:
        return [[verdict, "refused"], ["In its own words", row["refused"]]]
    if row["gate"] is not None:
        words += f" ({number(row['gate'], 2)})"
    elif row["passed"] is not None:
        words += " (derived for each of our steps)"
    first, ours, theirs = row["first_difference"], row["bound_share"], row["their_bound_share"]
    if first is None:
        where = "none beyond rounding"
    else:
        where = f"step {first['step']} in {first['tensor']}[{', '.join(map(str, first['coordinate']))}]"
        if short:
            where += f", ours {number(first['ours'], 9)}, theirs {number(first['theirs'], 9)}"
    ulp = [number(row[key]) for key in ("ulp_median", "ulp_99", "ulp_largest")]
    facts = [
        [verdict, words],
        ["Largest error", f"{number(row['largest_error'], 3)} of the distance travelled in {row['steps']} steps"],
        ["In ulp", f"median {ulp[0]}, 99 % within {ulp[1]}, largest {ulp[2]}"],
        ["First difference", where],
    ]
    if ours is not None and not short:  # below float64: errors of single steps over the bound derived for them
        others = "" if theirs is None else f", {row['implementation']} up to {number(theirs, 2)}"
        facts.insert(3, ["One step", f"ours up to {number(ours, 2)} of the bound derived for it{others}"])
    return [*facts, ["Why", row["note"]]] if row["note"] else facts


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
