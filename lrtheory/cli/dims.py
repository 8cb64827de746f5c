"""``lrtheory dims``: units, what becomes of every quantity under a rescaling, and the line that breaks a law."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrtheory.dims import Break, Dimensions, Location
from lrtheory.dims.audit import LIBRARIES, Row, audit, summary
from lrtheory.dims.target import TargetError, infer_target
from lrtheory.units import Units

from .errors import BadInput

STYLES = {"proven": "green", "guarded": "cyan", "broken": "bold red", "unknown": "yellow"}
_SUPERSCRIPTS = str.maketrans("-/0123456789", "⁻ᐟ⁰¹²³⁴⁵⁶⁷⁸⁹")


def dims(target: str | None, *, libraries: Sequence[str], as_json: bool) -> int:
    """Run the command."""
    if (target is None) == (not libraries):
        raise BadInput("give one TARGET, such as adam(), optax.lamb or torch.optim.RAdam, or --audit LIBRARY")
    if libraries:
        return _audit(libraries, as_json=as_json)
    assert target is not None
    try:
        found = infer_target(target)
    except TargetError as error:
        raise BadInput(str(error)) from error
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        tell(Console(highlight=False), found)
    return 0


def tell(console: Console, found: Dimensions) -> None:
    """Print the table, the verdict, and the source line of every break."""
    table = Table(title=found.target, title_justify="left")
    for name in ("quantity", "units", "loss ×α", "params ×c"):
        table.add_column(name, overflow="fold")
    for what, quantities in (("hyperparameters", found.hyper), ("state", found.state)):
        if not quantities:
            continue
        table.add_section()
        table.add_row(Text(what, "dim"))
        for name, units in quantities.items():
            table.add_row(Text(f"  {name}"), *_cells(found, name, units))
    console.print(table)
    for note in found.notes:
        console.print(Text(f"note: {note}", "dim"), soft_wrap=True)
    if found.update != Units(Fraction(0), Fraction(1)) and not found.unknown:
        console.print(Text(f"output in {found.update}, not [param]: a transformation to be chained"), soft_wrap=True)
    console.print(Text.assemble("verdict: ", (found.verdict.replace(str(Path.cwd()) + "/", ""), STYLES[found.status])))
    if found.breaks and found.survives:
        console.print(Text(f"still obeyed: {found.survives}"))
    for broken in found.breaks:
        _tell_break(console, broken)


def _cells(found: Dimensions, name: str, units: Units) -> list[Text]:
    if name in found.free:
        return [Text("any", "dim"), Text("any", "dim"), Text("any", "dim")]
    tied = f"  (= {found.ties[name]})" if name in found.ties else ""
    return [Text(str(units) + tied), _change("α", units.loss), _change("c", units.param)]


def _change(symbol: str, exponent: Fraction) -> Text:
    if exponent == 0:
        return Text("unchanged", "dim")
    power = "" if abs(exponent) == 1 else str(abs(exponent)).translate(_SUPERSCRIPTS)
    return Text(("× " if exponent > 0 else "÷ ") + symbol + power)


def _tell_break(console: Console, broken: Break) -> None:
    console.print()
    if broken.location is not None:
        _tell_line(console, broken.location)
    console.print(Text(broken.statement, "bold"), soft_wrap=True)
    if len(broken.chain) > 1:
        console.print("These demands cannot all hold:", style="dim")
        for link in broken.chain:
            where = f"{place(link.location)}  {link.location.source}" if link.location else "(not a line)"
            console.print(Text(f"  {where}"), soft_wrap=True)
            console.print(Text(f"      {link.demand}", "dim"), soft_wrap=True)


def _tell_line(console: Console, location: Location) -> None:
    console.print(Text(f"{place(location)} in {location.function}", "bold"), soft_wrap=True)
    console.print(Text(f"    {location.source}"), soft_wrap=True)
    console.print(Text("    " + "^" * len(location.source), "red"), soft_wrap=True)
    for caller in location.callers[:2]:
        console.print(Text(f"  called from {place(caller)}  {caller.source}", "dim"), soft_wrap=True)


def place(location: Location | None) -> str:
    """The file from its package on, which is enough to find it."""
    if location is None:
        return "no line"
    file = location.file.rpartition("site-packages/")[2].removeprefix(str(Path.cwd()) + "/")
    return f"{file}:{location.line}"


def _audit(libraries: Sequence[str], *, as_json: bool) -> int:
    unknown = [name for name in libraries if name not in LIBRARIES]
    if unknown:
        raise BadInput(f"no audit of {', '.join(unknown)}: there is one of {', '.join(LIBRARIES)}")
    rows: list[Row] = [row for name in libraries for row in audit(name)]
    if as_json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
        return 0
    table = Table(title="Scaling laws of " + ", ".join(libraries), title_justify="left")
    for name in ("target", "verdict", "where and why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(Text(row.name), Text(row.status, STYLES.get(row.status, "dim")), Text(row.reason))
    console = Console(highlight=False)
    console.print(table)
    console.print(summary(rows))
    return 0
