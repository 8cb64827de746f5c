"""``lrtheory check``: the verdict list of one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Column
from rich.text import Text

from ._terminal import console, print_json, progress_bar, table
from .errors import FAILED, BadInput, input_errors

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "expected failure": ("≠", "yellow"),
    "noted": ("i", "cyan"),
    "skipped": ("–", "dim"),
    "not run": ("–", "dim"),
}


def command(
    target: str | None,
    expect_fail: Sequence[str] | None,
    only: Sequence[str] | None,
    time_limit: float | None,
    json: bool,
    **given: Any,
) -> int:
    """Run the command; 1 if a check fails."""
    asked = {"only": only, "expect-fail": expect_fail, "time-limit": time_limit, **given}
    if target is None and (first := next((name for name, value in asked.items() if value), None)):
        raise BadInput(
            f"--{first.replace('_', '-')} is about a TARGET, such as torch.optim.NAdam: give one, or leave it out"
        )
    with progress_bar() as step:
        step("loading", 0.0)
        from parity import conformance

        if target is None:
            return _tell_checks(conformance.checks(), json)
        with input_errors(ValueError):
            report = conformance.check(
                target,
                expected_failures=_expected(expect_fail or ()),
                only=only,
                progress=step,
                time_limit=conformance.TIME_LIMIT if time_limit is None else time_limit,
                **given,
            )
    if json:
        print_json("check/1", report.as_json())
    else:
        tell(console(), report)
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
    shown = table(
        "",
        Column("check", no_wrap=True),
        Column("verdict", overflow="fold", ratio=1),
        *(Column(name, justify="right", style="dim") for name in ("compared", "s")),
    )
    shown.pad_edge = False
    for result in report.values():
        mark, style = MARKS[result.status]
        words = f"{result.status}: " if result.status in ("skipped", "expected failure") else ""
        words = "not run " if result.status == "not run" else words
        row = (Text(mark, style), Text(result.check, style if result.status == "failed" else ""))
        told = Text(words + result.cause, "dim" if result.status in ("skipped", "not run") else "")
        shown.add_row(*row, told, str(result.compared or ""), f"{result.seconds:.1f}")
    console.print(shown)
    for result in report.failures:
        console.print(Text(f"{result.check}: to see it fail again", "bold"))
        if result.example:
            console.print(Syntax(result.example, "python", word_wrap=True, background_color="default"))
        console.print()
    counts = {status: sum(r.status == status for r in report.values()) for status in MARKS}
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(Text(f"{summary}, in {sum(r.seconds for r in report.values()):.1f} s"))


def _tell_checks(checks: Any, json: bool) -> int:
    if json:
        told = [{"id": c.id, "kinds": c.kinds, "demands": c.demands} for c in checks.values()]
        print_json("checks/1", {"checks": told})
        return 0
    shown = table(*(Column(name, overflow="fold") for name in ("check", "of", "demands")), title="Checks")
    for one in checks.values():
        shown.add_row(Text(one.id), Text(", ".join(one.kinds), "dim"), Text(one.demands))
    console().print(shown)
    return 0
