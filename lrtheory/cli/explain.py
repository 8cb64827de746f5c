"""``lrtheory explain``: a page on one optimizer, and what to set instead."""

from __future__ import annotations

import io
import math
import tempfile
import warnings
import webbrowser
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from lrtheory.explaining import Explanation, explain
from lrtheory.explaining.explanation import Level
from lrtheory.rescaling import EXACTNESS, BatchRuleWarning, Change

from ..explaining.latex import readable
from ._terminal import change, console, print_json, table
from .errors import input_errors

WIDTH = 120
#: Of the site, where `make docs` puts it beside the source.
EXPLORER = Path(__file__).parents[2] / "docs" / "_build" / "html" / "explorer.html"
#: Below so many columns, tables of facts and numbers become lines; below fewer, that of effective lr too.
WIDE, NARROW = 96, 72
STYLES = {"bitwise": "green", "exact": "green", "asymptotic": "cyan", "statistical": "cyan", "heuristic": "yellow"}


def command(
    specs: Sequence[str],
    json: bool,
    open_page: bool,
    loss_scale: float,
    param_scale: float,
    batch_scale: float,
    tokens: str,
    **how: Any,
) -> int:
    """Run the command."""
    pages = []
    with input_errors(ValueError):
        if json and open_page:
            raise ValueError("--json and --open: one prints data and the other shows a page; give one of them")
        asked = Change(loss_scale, param_scale, batch_scale, tokens=_counts(tokens), **how)
        for spec in specs:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", BatchRuleWarning)
                found = explain(spec, asked)
            told = [str(w.message) for w in caught if issubclass(w.category, BatchRuleWarning)]
            pages.append((found, told))
    if json:
        shown = [{**found.as_json(), "warnings": told} for found, told in pages]
        if len(shown) == 1:
            print_json("explain/1", shown[0])
        else:
            print_json("explain-groups/1", {"groups": shown})
        return 0
    for at, (found, told) in enumerate(pages):
        if at:
            print()
        tell(console(WIDTH), found, told)
    if open_page:
        page = Path(tempfile.mkdtemp(prefix="lrtheory-")) / "explain.html"
        page.write_text(as_page(pages), encoding="utf-8")
        if not webbrowser.open(page.as_uri()):
            print(f"no browser could be started: the page is {page}")
    return 0


def as_page(pages: Iterable[tuple[Explanation, Iterable[str]]]) -> str:
    """What is printed as HTML, with a link to the explorer at each rule and hyperparameters, where the site is built."""
    shown = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    links = []
    for found, told in pages:
        tell(shown, found, told)
        numbers = {number.name: f"{number.value:g}" for number in found.numbers}
        place = f"{EXPLORER.as_uri()}#{urlencode({'rule': found.facts_of or found.title, **numbers})}"
        links.append(f'<p>{escape(found.spec)}: <a href="{escape(place)}">the explorer</a></p>')
    return shown.export_html().replace("</body>", "".join(links if EXPLORER.exists() else ()) + "</body>")


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(count) for count in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"--tokens {text}: expected whole numbers with commas, such as 512,1024") from None


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
    if not found.change.is_none:
        console.print()
        for line in found.code.splitlines():
            console.print(Text(line, "bold green"), soft_wrap=True)


def _tell_trained(console: Console, found: Explanation) -> None:
    if found.schedule:
        console.print(Text(f"lr by its schedule: {_course(found.schedule)}", "italic"))
        if found.schedule_after and found.schedule_after != found.schedule:
            console.print(Text(f"→ {_course(found.schedule_after)}", "bold"))
    if found.effective:
        told = ", as it is clipped" if "clip_" in found.title else ""
        console.print(Text(f"effective lr of a parameter of one entry, whose gradient stays the same{told}", "italic"))
        _tell_effective(console, found)
        if found.unsettled:
            console.print(Text(f"  {found.unsettled}", "dim"))
    if found.facts:
        at = f"at the lr of t = {found.schedule[1].t}, the peak of its schedule" if found.schedule else ""
        of = f"of {found.facts_of}, the rule inside" if found.title != found.facts_of else ""
        if at or of:
            console.print(Text(", ".join(filter(None, (of, at))), "italic"))
        _tell_facts(console, found)


def _tell_effective(console: Console, found: Explanation) -> None:
    peak = ", at peak" if found.schedule else ""
    names = [
        "|g|",
        "first step",
        f"settled{peak}",
        f"moves by, settled{peak}",
        *(["settled, at end"] if found.schedule else []),
    ]
    shown = table(*(Column(name, justify="right", overflow="fold") for name in names))
    for row in found.effective:
        moves = None if row.steady is None else row.steady * row.gradient
        last = [_figure(row.last)] if found.schedule else []
        cells = [f"{row.gradient:g}", _figure(row.first), _figure(row.steady), _figure(moves), *last]
        shown.add_row(*cells)
        if console.width < NARROW:
            told = ", ".join(f"{name} {cell}" for name, cell in zip(names[1:], cells[1:], strict=True))
            console.print(Padding(Text.assemble((f"|g| = {cells[0]}: ", "dim"), told), (0, 0, 0, 2)))
    console.print(shown if console.width >= NARROW else "")


def _course(levels: Sequence[Level]) -> str:
    """A schedule in words."""
    start, peak, end = levels
    if start.lr == peak.lr == end.lr and end.stays:
        return f"{start.lr:.6g} throughout"
    top = "" if peak.t in (start.t, end.t) else f", {peak.lr:.6g} at t = {peak.t} (its peak)"
    last = f"{end.lr:.6g} from t = {end.t} on" if end.stays else f"{end.lr:.6g} at t = {end.t}, and it goes on changing"
    return f"{start.lr:.6g} at t = {start.t}{top}, {last}"


def _tell_facts(console: Console, found: Explanation) -> None:
    after = {fact.name: fact for fact in found.facts_after or found.facts}
    name, new, law = (Column(style=style, no_wrap=True) for style in ("dim", "bold", "dim"))
    grid = Table.grid(name, Column(overflow="fold", ratio=1), new, law, padding=(0, 2))
    for fact in found.facts:
        then = after.get(fact.name, fact)
        new = "" if then.value == fact.value or then.value is None else f"→ {_figure(then.value)}"
        if console.width < WIDE:  # a row for each fact
            line = Text.assemble(
                (f"{fact.name}: ", "dim"), fact.said, (f" {new}" if new else "", "bold"), (f"  {fact.law}", "dim")
            )
            console.print(Padding(line, (0, 0, 0, 2)))
        else:
            grid.add_row(Text(fact.name), Text(fact.said), Text(new), Text(fact.law))
    console.print(Padding(grid, (0, 0, 1, 2)) if grid.row_count else "")


def _tell_numbers(console: Console, found: Explanation) -> None:
    changed = not found.change.is_none
    if changed:
        console.print(Text(_asked(found.change), "italic"))
    if not found.numbers:
        return
    if console.width < WIDE:
        for row in found.numbers:
            value = f"{row.value:.6g}" + (
                "" if not changed else " unchanged" if row.becomes == row.value else f" → {row.becomes:.6g}"
            )
            powers = [str(change(s, e, "")) for s, e in zip("αc", row.units, strict=True) if e]
            line = Text.assemble((row.name, "dim"), f"  {value}  ", (f"{row.units}  {' '.join(powers)}", "dim"))
            console.print(Padding(line, (0, 0, 0, 2)))
        console.print()
        return
    heads = ["hyperparameter", "is", "units", "loss ×α", "params ×c", *(["becomes"] if changed else [])]
    to_right = ("is", "becomes")
    shown = table(*(Column(name, justify="right" if name in to_right else "left", no_wrap=True) for name in heads))
    for row in found.numbers:
        cells = [Text(row.name), Text(f"{row.value:.6g}"), Text(str(row.units))]
        cells += [change(symbol, exponent, "·") for symbol, exponent in zip("αc", row.units, strict=True)]
        new = Text("unchanged", "dim") if row.becomes == row.value else Text(f"{row.becomes:.6g}", "bold")
        shown.add_row(*cells, *([new] if changed else []))
    console.print(shown)


def _asked(change: Change) -> str:
    said = {"world_size": "processes", "accumulation": "micro-batches"}
    parts = [f"{said.get(name, name)} ×{value:g}" for name, value in change.scales.items() if value != 1]
    how = [f"method {change.method}"] if change.method and change.examples != 1 else []
    reduction = [f"reduction {change.reduction or 'mean (assumed)'}"] if change.batch != 1 else []
    tokens = [f"a mean over all of {sum(change.tokens)} tokens"] if change.tokens else []
    return ", ".join([*parts, *tokens, *how, *reduction, *([f"hold {change.hold}"] if change.hold else [])])


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:.6g}"
