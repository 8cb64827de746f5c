"""``lrtheory replay``: the parity matrix in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from parity.measured import ParityRow
from parity.report.matrix import Cell, View, views, write_page

from ._terminal import console, print_json, progress_bar, table
from .errors import FAILED, BadInput, NotWritten, check_directory

MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "bold red"),
    "known": ("≠", "yellow"),
    "none": ("·", "dim"),
    "refused": ("∅", "dim"),
}
OPTIONS_WIDTH = 22
"""Characters that options need to be read beside a column for each implementation."""


def command(rules: Sequence[str] | None, dtype: str, against: str, quick: bool, html: Path | None, json: bool) -> int:
    """Run the command; 1 if a difference is beyond its bound."""
    if html is not None:
        check_directory(html.parent, "--html")
        if html.is_dir():
            raise BadInput(f"--html {html} is a directory; give a file")
    with progress_bar() as step:
        step("loading JAX and PyTorch", 0.0)
        chosen = canonical(rules or [])
        others = implementations(against)
        from parity import matrix

        rows = matrix.rows(
            chosen or None, dtype=dtype, against=others, quick=quick, truths=html is not None, progress=step
        )
    if html is not None:
        _write_page(rows, html, others)
    if json:
        print_json("replay/1", {"rows": rows})
    else:
        for view in views(rows):
            tell(console(), view)
        if html is not None:
            print(html)
    return FAILED if any(row["passed"] is False for row in rows) else 0


def implementations(text: str) -> list[str]:
    """Names by commas, each known."""
    from parity.matrix import IMPLEMENTATIONS

    given = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in given if name not in IMPLEMENTATIONS]
    if unknown or not given:
        raise BadInput(f"--against {text!r}: give one or more of {', '.join(IMPLEMENTATIONS)}, by commas")
    return given


def _write_page(rows: list[ParityRow], html: Path, others: list[str]) -> None:
    packages = ["lrtheory", "jax", *({"eager": "lrtheory", "capturable": "torch"}.get(name, name) for name in others)]
    versions = {package: metadata.version(package) for package in packages}
    try:
        write_page(rows, html, versions, datetime.now(UTC).isoformat(timespec="seconds"))
    except OSError as error:
        raise NotWritten(f"the matrix could not be written to {html}: {error.strerror or error}") from error


def canonical(names: Sequence[str]) -> list[str]:
    """Rules by the name their Rule has, each once: an alias is the rule it stands for."""
    from lrtheory import rules

    known = rules.names()
    for name in names:
        if name not in known:
            raise BadInput(f"no rule named {name!r}: there are {', '.join(known)}")
    return list(dict.fromkeys(rules.get(name)().name for name in names))


def tell(console: Console, view: View) -> None:
    """Print a view: a column for each implementation where there is room, a row for each where there is not."""
    title = f"Largest error over the distance travelled, {view.label}"
    shown = table(Column("rule and options", overflow="fold", min_width=OPTIONS_WIDTH), title=title)
    width = OPTIONS_WIDTH + 4
    for place, (implementation, mode) in enumerate(view.columns):
        head = [*implementation.split("-"), mode]
        shown.add_column("\n".join(head), justify="right", no_wrap=True)
        cells = [_shown(line.cells[place]).plain for lines in view.rules.values() for line in lines]
        width += 2 + max(map(len, [*head, *cells]))
    for rule, lines in view.rules.items():
        shown.add_row(Text(rule, "bold"))
        for line in lines:
            shown.add_row(Text(f"{line.options}, {line.schedule} lr"), *map(_shown, line.cells))
    console.print(_stacked(view, title) if width > console.width else shown)
    told = [
        (f"{implementation} of {rule}", cell)
        for rule, lines in view.rules.items()
        for line in lines
        for (implementation, _), cell in zip(view.columns, line.cells, strict=True)
        if cell is not None
    ]
    for _, cell in told:
        if cell.outcome == "fail":
            console.print(Text(cell.detail, "red"), soft_wrap=True)
    for words, first in {cell.refused: who for who, cell in reversed(told) if cell.refused}.items():
        console.print(Text(f"{first} refused (∅): {words}", "dim"), soft_wrap=True)
    console.print(
        Text(
            f"{view.passed} within their bound (✓), {view.failed} beyond it (✗), {view.reported} without one "
            "(≠ by design, · reported only)."
        )
    )


def _stacked(view: View, title: str) -> Table:
    first = Column("rule, options and implementation", overflow="fold")
    shown = table(first, Column("error", justify="right", no_wrap=True), title=title)
    for rule, lines in view.rules.items():
        for line in lines:
            shown.add_row(Text(f"{rule} {line.options}, {line.schedule} lr", "bold"))
            for (implementation, mode), cell in zip(view.columns, line.cells, strict=True):
                shown.add_row(Text(f"  {implementation}, {mode}"), _shown(cell))
    return shown


def _shown(cell: Cell | None) -> Text:
    if cell is None:
        return Text("–", "dim")
    mark, style = MARKS[cell.outcome]
    return Text(f"{mark} {cell.text}", style)
