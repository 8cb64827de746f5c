"""docs/conformance.md is what the code says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mutants import CONTROLS

from parity.conformance import EXPECTED, suite
from parity.conformance.comparing import ROUNDING

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def checks_table() -> str:
    """Every check, of which kind, and what it demands."""
    rows = [(f"`{one.id}`", ", ".join(one.kinds), one.demands) for one in suite.checks().values()]
    return _markdown(("check", "of", "demands"), rows)


def controls_table() -> str:
    """Every negative control and the check that catches it."""
    rows = [(f"`{one.name}`", one.kind, one.says(), f"`{one.caught_by}`") for one in CONTROLS]
    return _markdown(("target", "kind", "what is broken", "caught by"), rows)


def expected_table() -> str:
    """Every known failure of a published optimizer."""
    rows = [(f"`{name}`", f"`{id}`", reason) for name, found in EXPECTED.items() for id, reason in found.items()]
    return _markdown(("target", "check", "why"), rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def filled(page: str) -> str:
    """A page with its tables as they are now, between ``<!-- checks -->`` (controls, expected) and ``<!-- end -->``."""
    for name, table in (("checks", checks_table), ("controls", controls_table), ("expected", expected_table)):
        before, marker, rest = page.partition(f"<!-- {name} -->\n")
        if not marker:
            raise ValueError(f"the page has no place <!-- {name} -->")
        page = f"{before}{marker}{table()}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


def test_tables_are_those_of_the_code():
    """Mended by running this file."""
    page = PAGE.read_text()
    assert filled(page) == page


def test_tables_name_everything():
    page = PAGE.read_text()
    for check in suite.checks().values():
        assert f"| `{check.id}` | {', '.join(check.kinds)} |" in page
    for control in CONTROLS:
        assert f"| `{control.name}` | {control.kind} |" in page
    for name in EXPECTED:
        assert f"| `{name}` |" in page


def test_stated_bound_is_the_bound():
    assert f"bound is\n  {ROUNDING:.0e} of a coordinate's reach" in PAGE.read_text()


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
