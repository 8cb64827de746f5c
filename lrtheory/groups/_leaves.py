"""The rule and the hyperparameters that each parameter has, whatever is around them."""

from __future__ import annotations

from typing import Any

import jax

from ..rules import Rule
from ..wrappers import Wrapper
from ._groups import Groups


def of_leaves(rule: Any, hyper: Any, params: Any) -> list[tuple[Rule | None, Any]]:
    """Rule and hyperparameters of each leaf of ``params``, in their order; ``(None, None)`` for one that is frozen."""
    if isinstance(rule, Wrapper):
        return of_leaves(rule.rule, rule.inner(hyper), params)
    leaves = jax.tree.leaves(params)
    if not isinstance(rule, Groups):
        return [(rule, hyper)] * len(leaves)
    found: list[tuple[Rule | None, Any]] = []
    for label, leaf in zip(rule.labels_of(params), leaves, strict=True):
        member = rule.members[label]
        found += [(None, None)] if member is None else of_leaves(member, rule.inner(label, hyper), leaf)
    return found
