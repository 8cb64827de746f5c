"""``lrtheory check``: the verdict list of one optimizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from lrtheory.outputs import plain

from ._terminal import progress_bar
from .errors import FAILED, BadInput

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "expected failure": ("≠", "yellow"),
    "noted": ("i", "cyan"),
    "skipped": ("–", "dim"),
    "not run": ("–", "dim"),
}


def check(
    target: str | None,
    *,
    reference: str | None,
    expect_fail: Sequence[str],
    only: Sequence[str],
    claims_law: bool,
    time_limit: float | None,
    as_json: bool,
) -> int:
    """Run the command; 1 if a check fails."""
    with progress_bar() as step:
        step("loading", 0.0)
        from parity import conformance

        if target is None:
            return _tell_checks(conformance.checks(), as_json=as_json)
        try:
            report = conformance.check(
                target,
                reference=reference,
                expected_failures=_expected(expect_fail),
                only=list(only) or None,
                claims_law=claims_law,
                progress=step,
                time_limit=conformance.TIME_LIMIT if time_limit is None else time_limit,
            )
        except (conformance.TargetError, ValueError) as error:
            raise BadInput(str(error)) from error
    if as_json:
        print(json.dumps(plain(report.as_json()), indent=1))
    else:
        console = Console(highlight=False)
        tell(console if console.is_terminal else Console(highlight=False, width=140), report)
    return FAILED if report.failures else 0


def _expected(given: Sequence[str]) -> dict[str, str] | None:
    """Check id → reason; ``None`` where nothing was given, so that what is known of a published one is expected."""
    expected = {}
    for text in given:
        id, equals, reason = text.partition("=")
        if not equals or not reason.strip():
            raise BadInput(f"--expect-fail {text!r}: write it as ID=REASON, such as schedule='the lr is read once'")
        expected[id.strip()] = reason.strip()
    return expected or None


def tell(console: Console, report: Any) -> None:
    """Print the verdicts, then for every failure the code that shows it."""
    console.print(Text(f"{report.target}", "bold"), Text(f"({report.kind})", "dim"))
    for note in report.notes:
        console.print(Text(f"note: {note}", "dim"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", overflow="fold", ratio=1)
    table.add_column("compared", justify="right", style="dim")
    table.add_column("s", justify="right", style="dim")
    for result in report.values():
        mark, style = MARKS[result.status]
        words = f"{result.status}: " if result.status in ("skipped", "expected failure") else ""
        words = "not run " if result.status == "not run" else words
        row = (Text(mark, style), Text(result.check, style if result.status == "failed" else ""))
        told = Text(words + result.cause, "dim" if result.status in ("skipped", "not run") else "")
        table.add_row(*row, told, str(result.compared or ""), f"{result.seconds:.1f}")
    console.print(table)
    for result in report.failures:
        console.print(Text(f"{result.check}: to see it fail again", "bold"))
        if result.example:
            console.print(Syntax(result.example, "python", word_wrap=True, background_color="default"))
        console.print()
    counts = {status: sum(r.status == status for r in report.values()) for status in MARKS}
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(Text(f"{summary}, in {sum(r.seconds for r in report.values()):.1f} s"))


def _tell_checks(checks: Any, *, as_json: bool) -> int:
    if as_json:
        listed = [{"id": c.id, "kinds": list(c.kinds), "demands": c.demands} for c in checks.values()]
        print(json.dumps(listed, indent=1))
        return 0
    table = Table(title="Checks", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("check", "of", "demands"):
        table.add_column(name, overflow="fold")
    for one in checks.values():
        table.add_row(Text(one.id), Text(", ".join(one.kinds), "dim"), Text(one.demands))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=140)).print(table)
    return 0
