"""``lrtheory translate``: another optimizer whose updates are as large, and both on the digits."""

from __future__ import annotations

import math
from typing import Any

from rich.table import Column
from rich.text import Text

from lrtheory.spec import read
from lrtheory.translating import Translated, translate

from ..wrappers import innermost
from ._terminal import console, print_json, table
from .errors import input_errors


def command(spec: str, to: str, gradient_rms: float | None, shape: str | None, run: bool, json: bool) -> int:
    """Run the command."""
    with input_errors(ValueError):
        given = {"to": to, "gradient_rms": gradient_rms, "shape": _shape(shape)}
        found = translate(spec, **given)
        runs, why = _on_digits(found, given) if run else ((), "")
    if json:
        print_json("translate/1", {**found.as_json(), "digits": [one._asdict() for one in runs], "not_run": why})
    else:
        _tell(found, runs, why)
    return 0


def _shape(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    rows, x, columns = text.partition("x")
    if not (x and rows.isdecimal() and columns.isdecimal()):
        raise ValueError(f"--shape {text}: expected ROWSxCOLUMNS, such as 768x3072")
    return int(rows), int(columns)


def _on_digits(found: Translated, given: dict[str, Any]) -> tuple[tuple[Any, ...], str]:
    """Both on the digits, with the size of gradients there where it counts, or why there are no runs."""
    source = read(found.spec)
    rule, hyper = innermost(source.rule, source.hyper)
    if rule.array_rule.sparse or found.rule.array_rule.sparse:
        return (), "its gradients are sparse"
    try:
        from parity.experiments.matched_size import matched_run
    except ModuleNotFoundError as error:
        return (), f"{error.name} is not installed: pip install 'lrtheory[report]'"
    first = matched_run(rule, hyper)
    there = found
    if given["gradient_rms"] is None and "nothing" in (rule.facts.divides_by, found.rule.facts.divides_by):
        there = translate(found.spec, **{**given, "gradient_rms": first.gradient_rms})
    return (first, matched_run(there.rule, there.hyper)), ""


def _tell(found: Translated, runs: tuple[Any, ...], why: str) -> None:
    page = console(120)
    page.print(Text.assemble((found.spec, "bold"), ("  →  ", "dim"), repr(found.rule)), soft_wrap=True)
    decay = (
        "no weight decay"
        if math.isinf(found.decay_time_scale)
        else f"weight decay over {found.decay_time_scale:.4g} steps"
    )
    page.print(f"lr ×{found.ratio:.4g}; both: updates of rms {found.update_rms:.4g} under noise, {decay}")
    for note in found.notes:
        page.print(Text.assemble(("· ", "dim"), Text(note, "dim")))
    if runs:
        page.print(Text("on the digits, weight matrices of a small network", "italic"))
        heads = ("lr", "weight_decay", "rms of a gradient", "rms of an update", "loss at first", "at last")
        shown = table("rule", *(Column(head, justify="right") for head in heads))
        for one in runs:
            shown.add_row(one.rule, *(f"{value:.4g}" for value in one[1:]))
        page.print(shown)
    elif why:
        page.print(Text(f"not run on the digits: {why}", "yellow"))
    for line in found.code.splitlines():
        page.print(Text(line, "bold green"), soft_wrap=True)
