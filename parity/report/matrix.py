"""The parity matrix as it stands on a page: in the report, or alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from lrtheory.outputs import plain, replace_all

from ..measured import ParityRow
from .document import environment, policy, read, script_json
from .parity_matrix import View, full_details, views

TITLE = "Parity: every rule and option against every implementation"
READING = (
    "Each cell is the largest difference between lrtheory and that implementation, fed the same gradients, over the "
    "distance travelled. About 1e-16 is rounding in float64, about 1e-7 in float32, 1e-3 in half precision. Free runs evolve alone; forced "
    "runs are put back to the reference state before every step, which tells a wrong rule from accumulated rounding."
)
SHADES = ("≤ 1e-16", "1e-15", "1e-13", "1e-11", "1e-9", "1e-7", "1e-5", "≥ 1e-4")
MARKS = {
    "pass": "within the bound",
    "fail": "beyond the bound",
    "known": "differs by design",
    "none": "reported only",
    "refused": "refused by the implementation",
}


@dataclass(frozen=True)
class Matrix:
    """What the template of the matrix is filled with."""

    views: list[View]
    cells: Markup
    title: str = TITLE
    reading: str = READING
    shades: tuple[str, ...] = SHADES
    marks: dict[str, str] = field(default_factory=lambda: dict(MARKS))


def matrix(rows: list[ParityRow]) -> Matrix:
    """The matrix of these rows."""
    return Matrix(views(rows), script_json(full_details(rows)))


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
    script = read("matrix.js")
    text = (
        environment()
        .get_template("matrix_page.html.jinja")
        .render(
            matrix=matrix(plain(rows)),
            versions=versions,
            created=created,
            css=Markup(read("page.css")),
            script=Markup(script),
            policy=policy(script),
        )
    )
    replace_all({out: text})
    return out
