"""Records in our own terms: groups that name a rule, and state by our slots, of a framework that was adopted as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import rules
from ..adopting import Group, GroupRule, Kept

FRAMEWORK = "lrtheory"


def written_group(group: Group) -> dict[str, Any]:
    """A group as the record has it."""
    if group.rule is None:
        return {"rule": "", "reason": group.reason, "lr": group.lr}
    numbers = {name: value for name, value in group.hyper._asdict().items() if value is not None}
    return {"rule": group.rule.name, "options": dict(group.rule.options), **numbers}


def own_group(kind: str, group: Mapping[str, Any]) -> GroupRule:
    """The rule and numbers of a group that was written so."""
    numbers = dict(group)
    name, options = numbers.pop("rule"), numbers.pop("options", {})
    if not name:
        return GroupRule(None, None, numbers["reason"])
    rule = rules.get(name)(**options)
    return GroupRule(rule, rule.hyper(**numbers))


def own_state(kind: str, rule: Any, hyper: Any, kept: Mapping[str, Any], like: Any, **given: Any) -> Kept:
    """The rule's state of one parameter."""
    return Kept(rule.State(**{slot: kept.get(slot) for slot in rule.State._fields}))
