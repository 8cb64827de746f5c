"""``lrtheory replay``: the parity matrix in the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrtheory.outputs import plain
from parity.measured import ParityRow
from parity.report.parity_matrix import View, views

from .directory import check_directory
from .errors import FAILED, BadInput, NotWritten
from .progress import progress_bar

MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "bold red"),
    "known": ("≠", "yellow"),
    "none": ("·", "dim"),
    "refused": ("∅", "dim"),
}


def replay(names: Sequence[str], *, dtype: str, against: str, quick: bool, html: Path | None, as_json: bool) -> int:
    """Run the command; 1 if a difference is beyond its bound."""
    if html is not None:
        check_directory(html.parent, "--html")
        if html.is_dir():
            raise BadInput(f"--html {html} is a directory; give a file")
    with progress_bar() as step:
        step("loading JAX and PyTorch", 0.0)
        chosen = canonical(names)
        others = implementations(against)
        from parity import matrix

        rows = matrix.rows(
            chosen or None, dtype=dtype, against=others, quick=quick, truths=html is not None, progress=step
        )
    if html is not None:
        _write_page(rows, html, others)
    if as_json:
        print(json.dumps(plain(rows), indent=1))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:  # a file or a pipe has no width; give the options room
            console = Console(highlight=False, width=140)
        for view in views(rows):
            _tell(console, view)
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
    from parity.report.matrix import write_page

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


def _tell(console: Console, view: View) -> None:
    table = Table(
        title=f"Largest error over the distance travelled, {view.label}", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("rule and options", overflow="fold", min_width=22)
    for implementation, mode in view.columns:
        table.add_column(f"{implementation.replace('-', chr(10))}\n{mode}", justify="right", no_wrap=True)
    failures, refusals = [], {}
    for rule, lines in view.rules.items():
        table.add_row(Text(rule, "bold"))
        for line in lines:
            cells = []
            for (implementation, _), cell in zip(view.columns, line.cells, strict=True):
                if cell is None:
                    cells.append(Text("–", "dim"))
                    continue
                mark, style = MARKS[cell.outcome]
                cells.append(Text(f"{mark} {cell.text}", style))
                if cell.outcome == "fail":
                    failures.append(cell.detail)
                if cell.refused:
                    refusals.setdefault(cell.refused, f"{implementation} of {rule}")
            table.add_row(Text(f"{line.options}, {line.schedule} lr"), *cells)
    console.print(table)
    for detail in failures:
        console.print(Text(detail, "red"), soft_wrap=True)
    for words, first in refusals.items():
        console.print(Text(f"{first} refused (∅): {words}", "dim"), soft_wrap=True)
    console.print(
        Text(
            f"{view.passed} within their bound (✓), {view.failed} beyond it (✗), {view.reported} without one "
            "(≠ by design, · reported only)."
        )
    )
