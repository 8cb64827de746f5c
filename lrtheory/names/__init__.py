"""What other frameworks call rules, their hyperparameters and their state: data that needs none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ..rules import Rule

Entry = TypeVar("Entry")


def find(table: Mapping[str, Entry], rule: Rule) -> Entry | None:
    """What a table by our rules' names says of a rule; ``None`` where the framework has none that is the same."""
    return table.get(rule.name)


def entry(table: Mapping[str, Entry], rule: Rule) -> Entry:
    """The same, of a rule that is known to stand there."""
    found = find(table, rule)
    assert found is not None, f"no {rule!r} in this table"
    return found
