"""``lrtheory dims``: units, what becomes of every quantity under a rescaling, and the line that breaks a law."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lrtheory.dims import Break, Dimensions, Location
from lrtheory.dims.audit import LIBRARIES, Audited, audit, summary
from lrtheory.dims.target import TargetError, infer_target
from lrtheory.units import Units

from ._terminal import change, print_json
from .errors import BadInput, input_errors

STYLES = {"proven": "green", "guarded": "cyan", "broken": "bold red", "unknown": "yellow"}


def command(target: str | None, audit: Sequence[str] | None, json: bool) -> int:
    """Run the command."""
    if (target is None) == (not audit):
        raise BadInput("give one TARGET, such as adam(), optax.lamb or torch.optim.RAdam, or --audit LIBRARY")
    if audit:
        return _audit(audit, json)
    assert target is not None
    with input_errors(TargetError):
        found = infer_target(target)
    if json:
        print_json("dims/1", found.as_json())
    else:
        tell(Console(highlight=False), found)
    return 0


def tell(console: Console, found: Dimensions) -> None:
    """Print the table, the verdict, and the source line of every break."""
    table = _table(found.target, "quantity", "units", "loss ×α", "params ×c")
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


def _table(title: str, *names: str) -> Table:
    return Table(*(Column(name, overflow="fold") for name in names), title=title, title_justify="left")


def _cells(found: Dimensions, name: str, units: Units) -> list[Text]:
    if name in found.free:
        return 3 * [Text("any", "dim")]
    tied = f"  (= {found.ties[name]})" if name in found.ties else ""
    return [Text(str(units) + tied), *(change(s, e, "unchanged") for s, e in zip("αc", units, strict=True))]


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


def _audit(libraries: Sequence[str], json: bool) -> int:
    unknown = [name for name in libraries if name not in LIBRARIES]
    if unknown:
        raise BadInput(f"no audit of {', '.join(unknown)}: there is one of {', '.join(LIBRARIES)}")
    rows: list[Audited] = [row for name in libraries for row in audit(name)]
    if json:
        print_json("audit/1", {"rows": [row.as_json() for row in rows]})
        return 0
    table = _table("Scaling laws of " + ", ".join(libraries), "target", "verdict", "where and why")
    for row in rows:
        table.add_row(Text(row.name), Text(row.status, STYLES.get(row.status, "dim")), Text(row.reason))
    console = Console(highlight=False)
    console.print(table)
    console.print(summary(rows))
    return 0
