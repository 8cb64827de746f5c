"""``lrtheory explain``: a page on one optimizer, and what to set instead."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable
from fractions import Fraction

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lrtheory.explaining import Explanation, explain
from lrtheory.explaining.explanation import Change, Number
from lrtheory.outputs import plain
from lrtheory.rescaling import EXACTNESS, BatchRuleWarning
from lrtheory.spec import SpecError

from ..explaining.latex import readable
from .errors import BadInput

WIDTH = 120
STYLES = {"bitwise": "green", "exact": "green", "asymptotic": "cyan", "statistical": "cyan", "heuristic": "yellow"}


def command(spec: str, change: Change, *, as_json: bool) -> int:
    """Run the command."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BatchRuleWarning)
        try:
            found = explain(spec, change)
        except SpecError as error:
            raise BadInput(str(error)) from error
        except ValueError as error:
            raise BadInput(str(error)) from error
    told = [str(w.message) for w in caught if issubclass(w.category, BatchRuleWarning)]
    if as_json:
        print(json.dumps(plain({**found.as_json(), "warnings": told}), indent=1, ensure_ascii=False))
        return 0
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width
        console = Console(highlight=False, width=WIDTH)
    tell(console, found, told)
    return 0


def tell(console: Console, found: Explanation, told: Iterable[str] = ()) -> None:
    """Print the page."""
    console.print(Text.assemble((found.spec, "bold"), ("  is  ", "dim"), found.title), soft_wrap=True)
    if found.formula:
        console.print(Padding(Text(readable(found.formula)), (1, 0, 1, 4)))
    _tell_trained(console, found)
    _tell_numbers(console, found)
    for warning in told:
        console.print(Text(f"warning: {warning}", "bold yellow"))
    if found.exactness is not None:
        meaning = EXACTNESS[found.exactness]  # type: ignore[index]
        console.print(
            Text.assemble("exactness: ", (found.exactness, f"bold {STYLES[found.exactness]}"), f", {meaning}")
        )
    for note in found.notes:
        console.print(Text.assemble(("· ", "dim"), Text(note, "dim")))
    if found.exactness is not None:
        console.print()
        for line in found.code.splitlines():
            console.print(Text(line, "bold green"), soft_wrap=True)


def _tell_trained(console: Console, found: Explanation) -> None:
    if found.effective:
        console.print(Text("effective lr of a parameter of one entry, whose gradient stays the same", "italic"))
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("|g|", "first step", "settled", "moves by, settled"):
            table.add_column(name, justify="right")
        for row in found.effective:
            moves = None if row.steady is None else row.steady * row.gradient
            table.add_row(f"{row.gradient:g}", _figure(row.first), _figure(row.steady), _figure(moves))
        console.print(table)
        if found.unsettled:
            console.print(Text(f"  {found.unsettled}", "dim"))
    if found.facts:
        if found.title != found.facts_of:
            console.print(Text(f"of {found.facts_of}, the rule inside", "italic"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold", ratio=1)
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(style="dim", no_wrap=True)
        after = found.facts_after or found.facts
        for fact, then in zip(found.facts, after, strict=True):
            new = "" if then.value == fact.value or then.value is None else f"→ {_figure(then.value)}"
            grid.add_row(Text(fact.name), Text(fact.said), Text(new), Text(fact.law))
        console.print(Padding(grid, (0, 0, 1, 2)))


def _tell_numbers(console: Console, found: Explanation) -> None:
    changed = not found.change.is_none
    if changed:
        console.print(Text(_asked(found.change), "italic"))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("number", no_wrap=True)
    table.add_column("is", justify="right")
    table.add_column("units", no_wrap=True)
    for name in ("loss ×α", "params ×c"):
        table.add_column(name, no_wrap=True)
    if changed:
        table.add_column("becomes", justify="right")
    for row in found.numbers:
        cells = [row.name, _six(row.value), str(row.units), _power("α", row.units.loss), _power("c", row.units.param)]
        table.add_row(*(Text(c) if isinstance(c, str) else c for c in cells), *([_becomes(row)] if changed else []))
    console.print(table)


def _asked(change: Change) -> str:
    parts = [
        f"{name} ×{value:g}"
        for name, value in (("loss", change.loss), ("params", change.params), ("batch", change.batch))
        if value != 1
    ]
    how = [f"method {change.method}"] if change.method and change.batch != 1 else []
    reduction = [f"reduction {change.reduction or 'mean (assumed)'}"] if change.batch != 1 else []
    return ", ".join([*parts, *how, *reduction])


def _becomes(row: Number) -> Text:
    if row.becomes == row.value:
        return Text("unchanged", "dim")
    return Text(_six(row.becomes), "bold")


def _power(symbol: str, exponent: Fraction) -> Text:
    if exponent == 0:
        return Text("·", "dim")
    power = "" if abs(exponent) == 1 else str(abs(exponent)).translate(str.maketrans("-/0123456789", "⁻ᐟ⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return Text(("× " if exponent > 0 else "÷ ") + symbol + power)


def _six(value: float) -> str:
    return f"{value:.6g}"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:.4g}"
