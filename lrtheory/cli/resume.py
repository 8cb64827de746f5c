"""``lrtheory resume``: what is wrong with a checkpoint, without running anything."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from lrtheory.checkpoints import CheckpointError, Judgement, judge, read
from lrtheory.spec import SpecError

from ._terminal import console, print_json
from .errors import FAILED, input_errors


def command(checkpoint: Path, optimizer: str | None, json: bool) -> int:
    """Run the command; 1 if something is wrong."""
    with input_errors(CheckpointError, SpecError):
        found = judge(read(checkpoint), optimizer)
    if json:
        print_json("resume/1", found.as_json())
    else:
        tell(console(), found)
    return 0 if found.sound else FAILED


def tell(shown: Console, found: Judgement) -> None:
    """Print it."""
    for one in found.optimizers:
        steps = "" if one["steps"] is None else f", {one['steps']} steps"
        groups = f" in {one['groups']} groups" if one["groups"] != 1 else ""
        head = Text.assemble(
            (one["kind"], "bold"), f"{' at ' + one['path'] if one['path'] else ''}: {one['tensors']} tensors"
        )
        shown.print(head + Text(f"{groups}{steps} ({found.kind}, {found.path})"), soft_wrap=True)
    for fault in found.faults:
        style = "red" if fault.level == "proven" else "yellow"
        shown.print(Text.assemble((f"{fault.id} ({fault.level}): ", f"bold {style}"), fault.text), soft_wrap=True)
        shown.print(Text(f"    {fault.fix}", "cyan"), soft_wrap=True)
    if found.sound:
        shown.print(Text("nothing wrong was found", "bold green"))
    for title, lines in (("looked at", found.looked_at), ("could not be judged", found.not_judged)):
        for line in lines:
            shown.print(Text.assemble((f"{title}: ", "dim"), line), soft_wrap=True)
