"""What commands print with: a console, tables, JSON, and a progress bar on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ..outputs import plain
from .errors import is_unicode

Step = Callable[[str, float], None]
_SUPERSCRIPTS = str.maketrans("-/0123456789", "⁻ᐟ⁰¹²³⁴⁵⁶⁷⁸⁹")


def console(width: int = 140, *, stderr: bool = False) -> Console:
    """Stdout or stderr; a file or a pipe has no width of its own, and gets this one."""
    found = Console(highlight=False, stderr=stderr)
    return found if found.is_terminal else Console(highlight=False, stderr=stderr, width=width)


def table(*columns: Column | str, title: str | None = None) -> Table:
    """A table with a line under its head."""
    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)


def change(symbol: str, exponent: Fraction, none: str) -> Text:
    """What a quantity is multiplied or divided by, such as ``× α²``; ``none`` where it stays."""
    if exponent == 0:
        return Text(none, "dim")
    power = "" if abs(exponent) == 1 else str(abs(exponent)).translate(_SUPERSCRIPTS)
    return Text(("× " if exponent > 0 else "÷ ") + symbol + power)


def print_json(kind: str, value: Mapping[str, Any]) -> None:
    """The value in plain types, and nothing else on stdout; ``kind`` is a name and version of ``_schemas``."""
    print(json.dumps(as_printed(kind, value), indent=1, ensure_ascii=not is_unicode(sys.stdout), allow_nan=False))


def as_printed(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """With its schema; an infinite number is the text ``inf`` or ``-inf``, and one that is unknown ``None``."""
    return plain(_finite({"schema": f"lrtheory/{kind}", **value}))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, float) and math.isinf(value) else value


@contextlib.contextmanager
def progress_bar() -> Iterator[Step]:
    """A function of what runs now and the share that is done, drawn until the block ends."""
    columns = (
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda text, done: progress.update(task, description=text, completed=done)
