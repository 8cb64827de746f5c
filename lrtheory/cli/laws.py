"""``lrtheory laws``: verify the catalogue, or show one law with its evidence and what a wrong version of it meets."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from lrtheory.laws import KINDS, SECTIONS, Evidence, Law, catalogue

from ..explaining.latex import readable
from ._terminal import console, print_json, progress_bar, table
from .errors import FAILED, BadInput

STYLES = {"true": "green", "false": "red", "depends": "cyan"}


def command(name: str | None, seed: int, json: bool) -> int:
    """Run the command; 1 if a law does not hold, or a wrong version of one that was asked for passes its check."""
    chosen, whole = select(name)
    found: list[tuple[Law, Evidence]] = []
    caught: dict[str, dict[str, Evidence]] = {}
    with progress_bar() as step:
        for position, law in enumerate(chosen):
            step(law.id, position / len(chosen))
            found.append((law, law.verify(seed)))
            if whole:
                caught[law.id] = {what: law.check(mutant, seed) for what, mutant in law.mutants.items()}
    if json:
        told = [as_record(law, evidence, caught.get(law.id)) for law, evidence in found]
        print_json("laws/1", {"laws": told})
    elif whole:
        for law, evidence in found:
            _tell(console(120), law, evidence, caught[law.id])
    else:
        _tell_all(console(120), found)
    missed = any(evidence.holds for wrong in caught.values() for evidence in wrong.values())
    return FAILED if missed or not all(evidence.holds for _, evidence in found) else 0


def select(name: str | None) -> tuple[list[Law], bool]:
    """The laws that are meant, and whether they are shown whole: a section or one law is, all or those found are listed."""
    known = catalogue()
    if name is None:
        return list(known.values()), False
    if name in SECTIONS:
        return [law for law in known.values() if law.section == name], True
    named = [law for law in known.values() if name in (law.id, law.id.partition(".")[2])]
    if len(named) == 1:
        return named, True
    wanted = _words(name)
    found = [
        law for law in known.values() if all(word in _words(law.id, law.title, law.claim or "") for word in wanted)
    ]
    if found:
        return found, len(found) == 1
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise BadInput(
        f"no law or section {name!r}, and no law with these words in its title: {hint}'lrtheory laws' lists all; sections "
        f"are {', '.join(SECTIONS)}"
    )


def _words(*texts: str) -> list[str]:
    """What a search compares: words of letters and digits."""
    return "".join(c if c.isalnum() else " " for c in " ".join(texts).lower()).split()


def as_record(law: Law, evidence: Evidence, wrong: dict[str, Evidence] | None) -> dict[str, Any]:
    """One law in plain types, its statement in LaTeX."""
    record = {
        **{field: getattr(law, field) for field in ("id", "section", "title", "kind", "statement", "scope", "source")},
        "formula": code_name(law.formula),
        "claim": law.claim,
        "decision": law.decision,
        "evidence": evidence.as_json(),
        "mutants": list(law.mutants),
    }
    if wrong is not None:
        record["mutants"] = {
            what: {"caught": not e.holds, "residual": e.residual, "bound": e.bound} for what, e in wrong.items()
        }
    return record


def code_name(formula: Any) -> str:
    """Where the formula stands in the code."""
    while hasattr(formula, "func"):  # functools.partial
        formula = formula.func
    return f"{formula.__module__}.{formula.__qualname__}"


def figure(value: float) -> str:
    """A measured number in few characters."""
    return f"{value:.3g}"


def comparison(evidence: Evidence) -> str:
    """The residual against its bound."""
    sign = ">" if evidence.residual > evidence.bound else "≤"
    return f"{figure(evidence.residual)} {sign} {figure(evidence.bound)}"


def _verdict(law: Law, evidence: Evidence) -> Text:
    if not evidence.holds:
        return Text("✗ fails", "bold red")
    return Text("✗ refuted", "yellow") if evidence.is_counterexample else Text("✓ holds", "green")


def _tell_all(console: Console, found: Sequence[tuple[Law, Evidence]]) -> None:
    for section, title in SECTIONS.items():
        here = [(law, evidence) for law, evidence in found if law.section == section]
        if not here:
            continue
        shown = table(
            Column("id", no_wrap=True),
            Column("what it says", overflow="fold", ratio=1),
            "kind",
            *(Column(name, justify="right", no_wrap=True) for name in ("residual", "bound")),
            Column("", no_wrap=True),
            title=f"{title} ({section})",
        )
        for law, evidence in here:
            told, kind = Text(law.claim or law.title), law.decision or law.kind
            figures = figure(evidence.residual), figure(evidence.bound)
            shown.add_row(law.id.partition(".")[2], told, kind, *figures, _verdict(law, evidence))
        console.print(shown)
    failed = [law.id for law, evidence in found if not evidence.holds]
    refuted = sum(evidence.is_counterexample for _, evidence in found)
    console.print(
        f"{len(found) - len(failed)} of {len(found)} laws are as stated, {refuted} of them claims refuted by a counterexample, "
        "whose residual must exceed its bound."
    )
    if failed:
        console.print(Text(f"Not as stated: {', '.join(failed)}", "bold red"), soft_wrap=True)
    console.print(Text("lrtheory laws ID shows a law, its evidence and the wrong versions its check catches.", "dim"))


def _tell(console: Console, law: Law, evidence: Evidence, wrong: dict[str, Evidence]) -> None:
    console.print(Text.assemble((law.id, "bold"), "  ", law.title))
    if law.claim is not None and law.decision is not None:
        told = Text.assemble(f"“{law.claim}”  ", (law.decision, STYLES[law.decision]))
        console.print(Padding(told, (0, 0, 0, 2), expand=False))
    console.print(Padding(Text(readable(law.statement), "bold"), (1, 0, 1, 4), expand=False))
    rows = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    told = {
        "kind": f"{law.kind}: {KINDS[law.kind]}",
        "scope": law.scope,
        "source": law.source,
        "code": code_name(law.formula),
        "ran": evidence.ran,
        "measured": Text.assemble(_verdict(law, evidence), f"  residual {comparison(evidence)}"),
        "bound": evidence.derivation,
    }
    for name, words in told.items():
        rows.add_row(name, words)
    if evidence.sample_size is not None:
        rate = evidence.false_alarm_rate
        rows.add_row(
            "statistics",
            f"{evidence.sample_size} draws, confidence {evidence.confidence}, false alarms {'unknown' if rate is None else figure(rate)}",
        )
    for position, (name, value) in enumerate(evidence.figures.items()):
        rows.add_row("" if position else "figures", f"{name}: {figure(value)}")
    for position, (what, found) in enumerate(wrong.items()):
        verdict = Text("passes: the check is blind to it", "bold red") if found.holds else Text("caught", "green")
        rows.add_row("" if position else "wrong laws", Text.assemble(verdict, f"  {what}: {comparison(found)}"))
    console.print(Padding(rows, (0, 0, 1, 2), expand=False))
