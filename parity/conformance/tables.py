"""The tables of docs/conformance.md, made from the registry, the negative controls and the known failures."""

from __future__ import annotations

from collections.abc import Sequence

from . import registry
from .expected import EXPECTED


def checks_table() -> str:
    """Every check, of which kind, and what it demands."""
    rows = [(f"`{one.id}`", ", ".join(one.kinds), one.demands) for one in registry.checks().values()]
    return _markdown(("check", "of", "demands"), rows)


def controls_table() -> str:
    """Every negative control and the check that catches it."""
    from ..mutants import CONTROLS

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
