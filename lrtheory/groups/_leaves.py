"""The rule and the hyperparameters that each parameter has, whatever is around them, and the learning rates among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax

from ..rules import Rule
from ..wrappers import Wrapper, bare, innermost
from ._groups import Groups
from ._labels import names_of


def of_leaves(rule: Any, hyper: Any, params: Any) -> list[tuple[Rule | None, Any]]:
    """Rule and hyperparameters of each leaf of ``params``, in their order; ``(None, None)`` for one that is frozen."""
    rule, hyper = innermost(rule, hyper)
    leaves = jax.tree.leaves(params)
    if not isinstance(rule, Groups):
        return [(rule, hyper)] * len(leaves)
    found: list[tuple[Rule | None, Any]] = []
    for label, leaf in zip(rule.labels_of(params), leaves, strict=True):
        member = rule.members[label]
        found += [(None, None)] if member is None else of_leaves(member, rule.inner(label, hyper), leaf)
    return found


def alone(rule: Any, hyper: Any, *, scaled: bool = True) -> dict[str, tuple[Any, Any]]:
    """Each group that is not frozen as a rule of its own, by label, with what is around all groups around each.

    Its hyperparameters have the lr that it trains with, ``lr_scale`` included unless ``scaled`` is false. Of what has no groups
    the one entry is "".
    """
    if isinstance(rule, Groups):
        return {label: (member, rule.inner(label, hyper, scaled=scaled)) for label, member in rule.moving()}
    if not isinstance(rule, Wrapper):
        return {"": (rule, hyper)}
    own, found = {name: getattr(hyper, name) for name in rule.numbers}, {}
    for label, (inside, numbers) in alone(rule.rule, rule.inner(hyper), scaled=scaled).items():
        around = rule if inside is rule.rule else replace(rule, rule=inside)
        found[label] = around, around.Hyper(*numbers, **own)
    return found


def names_by_label(rule: Any, params: Any) -> dict[str, tuple[str, ...]]:
    """The names of the parameters in each group, frozen ones too; of what has no groups the one entry is ""."""
    rule = bare(rule)
    names = names_of(params)
    labels = rule.labels_of(params) if isinstance(rule, Groups) else [""] * len(names)
    return {
        label: tuple(n for n, of in zip(names, labels, strict=True) if of == label) for label in dict.fromkeys(labels)
    }


def has_groups(rule: Any) -> bool:
    """Whether there are groups, inside wrappers too."""
    return isinstance(bare(rule), Groups)


def lrs(hyper: Any) -> Any:
    """The lr of a rule's hyperparameters; of those of groups a dict by label, without what is frozen."""
    if "lr" in hyper._fields:
        return hyper.lr
    return {name: lrs(part) for name, part in hyper._asdict().items() if hasattr(part, "_fields")}


def with_lrs(hyper: Any, values: Any) -> Any:
    """The hyperparameters with other learning rates, in the form of :func:`lrs`."""
    if "lr" in hyper._fields:
        return hyper._replace(lr=values)
    return hyper._replace(**{name: with_lrs(getattr(hyper, name), value) for name, value in values.items()})
