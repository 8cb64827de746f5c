"""``lrtheory watch``: run a training script as it is, and tell what it trained with."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from lrtheory.watching import Run, Table, findings_of, table_of, worked_out
from lrtheory.watching.record import LINES
from lrtheory.watching.saved import as_dict, save

from ._terminal import console as terminal
from ._terminal import print_json
from ._terminal import table as framed
from .errors import BadInput, check_directory, complain

#: Rows of a table that is drawn while the script runs.
MOST = 15
#: A line of a table: the figure that a logger is given, and the column.
LIVE = {"effective_lr": "effective lr", "relative_update": "step/size", "absorbed": "absorbed", "clip_factor": "clip"}


def command(script: Path, arguments: Sequence[str] | None, every: int, sample: int, out: Path, json: bool) -> int:
    """Run a script, or read a record; the exit status is the script's own."""
    if script.is_dir():
        if not (script / LINES).is_file():
            raise BadInput(
                f"{script} is a directory without a {LINES}: give a script, or where a watched run was recorded"
            )
        tell(worked_out(script), json)
        return 0
    if not script.is_file():
        raise BadInput(f"no script {script}: give a Python file, or where a watched run was recorded")
    check_directory(out.parent, "--out")
    from lrtheory.watching.in_torch import TorchWatch
    from lrtheory.watching.script import run, watching_all

    with live() as log, contextlib.redirect_stdout(sys.stderr if json else sys.stdout):
        watched = TorchWatch(every=every, sample=sample, out=out, log=log)
        with watching_all(watched):
            status = run(script, arguments or [])
    if watched.out is not None:
        try:
            tell(watched.run(), json)
        except KeyboardInterrupt:
            complain(f"stopped; the record is in {watched.out}: lrtheory watch {watched.out} reads it")
    return status


def tell(run: Run, json: bool) -> None:
    """Write JSON and the page beside the record, and print: on stderr, since stdout is the script's."""
    written = save(run)
    try:
        from lrtheory.watching.page import write_page

        written = write_page(run)
    except ModuleNotFoundError as error:
        complain(
            f"the page needs {error.name}, which is not installed: pip install 'lrtheory[watch]'; {written} is written"
        )
    if json:
        print_json("watch/1", as_dict(run))
        return
    console = terminal(stderr=True)
    if not run.optimizers:
        complain("no optimizer of torch took a step: nothing was watched")
        return
    console.print(grid(table_of(run)))
    for watched in run.optimizers:
        skipped = f", {watched.skipped} skipped" if watched.skipped else ""
        console.print(Text(f"{watched.name}: {watched.taken} steps, {len(watched.steps)} measured{skipped}"))
    for note in run.notes:
        console.print(Text(note, "dim"), soft_wrap=True)
    for finding in findings_of(run):
        console.print(
            Text(f"{finding.level}: {finding.text}", "yellow" if finding.level == "warning" else ""), soft_wrap=True
        )
        console.print(Text(f"    {finding.fix}", "cyan"), soft_wrap=True)
    console.print(Text(str(written)))


def grid(table: Table) -> Grid:
    """The summary for a terminal."""
    made, columns = framed(), table.columns()
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", overflow="fold", no_wrap=0 < i < len(columns) - 1)
    for cells in zip(*columns.values(), strict=True):
        made.add_row(*map(Text, cells))
    if len(table) > table.most:
        made.add_row(f"and {len(table) - table.most} more")
    return made


@contextlib.contextmanager
def live() -> Iterator[Any]:
    """A function that draws each measured step, where there is a terminal to draw on; else ``None``."""
    console = terminal(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        yield lambda figures, step: shown.update(drawn(figures, step), refresh=True)


def drawn(figures: Mapping[str, float], step: int) -> Grid:
    """One measured step, its largest relative updates first."""
    rows: dict[str, dict[str, Any]] = {}
    for key, value in figures.items():
        figure, _, name = key.partition("/")
        if figure in LIVE:
            rows.setdefault(name, {})[figure] = value
    figures_of = (Column(name, justify="right") for name in LIVE.values())
    made = framed("tensor", *figures_of, title=f"step {step}")
    for name in sorted(rows, key=lambda name: -(rows[name].get("relative_update") or 0))[:MOST]:
        cells = [rows[name].get(figure) for figure in LIVE]
        made.add_row(Text(name), *("–" if cell is None else f"{cell:.3g}" for cell in cells))
    return made
