"""``lrtheory diagnose``: the setting in which two implementations differ."""

from __future__ import annotations

from rich.table import Column, Table
from rich.text import Text

from lrtheory.spec.text import SpecError

from ._terminal import console, print_json, progress_bar
from .errors import input_errors

STYLES = {"same": "green", "settings": "yellow", "unseen": "yellow", "unknown": "bold red"}


def command(a: str, b: str, dtype: str, missing: bool, json: bool) -> int:
    """Run the command."""
    with progress_bar() as step:
        step("loading JAX and PyTorch", 0.0)
        from parity.diagnosis import diagnose, size_in_words

        step(f"{a} beside {b}", 0.3)
        with input_errors(SpecError):
            found = diagnose(a, b, dtype=dtype, missing=missing)
    if json:
        print_json("diagnose/1", found.as_json())
        return 0
    out = console()
    out.print(Text(found.sentence, STYLES[found.outcome]), soft_wrap=True)
    if found.changes:
        heads = ("setting", found.a, found.b, "to give it")
        table = Table(*(Column(Text(head), overflow="fold") for head in heads))
        for change in found.changes:
            argument = Text("no option", "dim") if change.arguments is None else Text(change.text)
            table.add_row(Text(change.setting), Text(_shown(change.a)), Text(_shown(change.b)), argument)
        out.print(table)
    if found.first is not None:
        out.print(Text(f"first difference: {found.first}"), soft_wrap=True)
    if found.outcome == "settings":
        how = "run again with them" if found.verified == "run" else "by the model of the family with them"
        size = size_in_words(found.size)
        told = (
            f"largest difference {size} of the farthest that it moves; with these settings {found.residual:.1e} ({how})"
        )
        out.print(Text(told), soft_wrap=True)
    return 0


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"
