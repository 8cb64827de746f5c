"""docs/conformance.md is what the code says."""

from __future__ import annotations

from pathlib import Path

from parity.conformance import EXPECTED, registry
from parity.conformance.comparing import ROUNDING
from parity.conformance.tables import filled
from parity.mutants import CONTROLS

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def test_tables_are_those_of_the_code():
    """Mended by ``PAGE.write_text(filled(PAGE.read_text()))``."""
    page = PAGE.read_text()
    assert filled(page) == page


def test_tables_name_everything():
    page = PAGE.read_text()
    for check in registry.checks().values():
        assert f"| `{check.id}` | {', '.join(check.kinds)} |" in page
    for control in CONTROLS:
        assert f"| `{control.name}` | {control.kind} |" in page
    for name in EXPECTED:
        assert f"| `{name}` |" in page


def test_stated_bound_is_the_bound():
    assert f"bound is\n  {ROUNDING:.0e} of a coordinate's reach" in PAGE.read_text()
