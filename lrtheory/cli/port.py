"""``lrtheory port``: an optimizer as code for another framework."""

from __future__ import annotations

from rich.text import Text

from lrtheory.port import Config, DiffersError, PortError, config
from lrtheory.spec import SpecError

from ._terminal import console, print_json
from .errors import FAILED, input_errors


def command(spec: str, to: str, json: bool) -> int:
    """Run the command: 1 where the nearest that there is runs otherwise."""
    differs = ""
    with input_errors(PortError, SpecError):
        try:
            found = config(spec, to)
        except DiffersError as error:
            found, differs = error.nearest, _difference(error)
    if json:
        print_json("port/1", {**found.as_json(), "differs": differs})
    else:
        _tell(found, differs)
    return FAILED if differs else 0


def _difference(error: DiffersError) -> str:
    """The smallest difference that remains, in the words of the diagnosis."""
    from parity.diagnosis import diagnose

    try:
        sentence = diagnose(error.nearest.code, error.nearest.spec).sentence
    except (SpecError, NotImplementedError, RuntimeError):
        return str(error)
    return f"{sentence} ({error})"


def _tell(found: Config, differs: str) -> None:
    out = console()
    for line in str(found).splitlines():
        out.print(Text(line, "bold yellow" if differs else "bold green"), soft_wrap=True)
    if differs:
        out.print(Text(f"this is the nearest, and not the same: {differs}", "bold red"), soft_wrap=True)
    for note in found.notes:
        out.print(Text.assemble(("· ", "dim"), Text(note, "dim")), soft_wrap=True)
