"""Groups made by patterns of names or by labels, and the hyperparameters of layers one after the other."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax

from ..rules import Rule
from ..wrappers import Wrapper
from ._groups import LR_SCALE, Groups, Member
from ._labels import Labels, checked_patterns


def _members(rule: Any, labels: Sequence[str]) -> dict[str, Member]:
    """A rule for each label: the same for all, or that of a mapping."""
    given = dict(rule) if isinstance(rule, Mapping) else dict.fromkeys(labels, rule)
    for label, member in given.items():
        if member is not None and not isinstance(member, (Rule, Wrapper)):
            hint = " (call it: it is a factory)" if callable(member) else ""
            raise TypeError(
                f"groups: {label!r} must have a rule such as lrtheory.rules.adam(), or None to be frozen, not {member!r}{hint}"
            )
    return given


def by_pattern(rule: Any, patterns: Mapping[str, Any], *, default: str | None = None) -> Groups:
    """Groups by the names of parameters.

    A name is the path to a parameter, its parts joined by dots (a slash is read as one). A pattern is text with ``*``, ``?`` and
    ``[...]``, for the whole name or for the part of the tree that a parameter is in, or a compiled regular expression, which
    is searched for in the name.

    Parameters
    ----------
    rule : Rule or Wrapper for all groups, or mapping of label to Rule, Wrapper or None
        ``None`` freezes a group.
    patterns : mapping of label to pattern, or to a sequence of patterns
    default : label, optional
        The group of what no pattern matches, which is refused unless given.

    Returns
    -------
    Groups
        For equal arguments the very same, so that compiled programs are shared.

    Raises
    ------
    TypeError, ValueError
        For what is no rule, pattern or label. When parameters come: for a pattern that matches none, a group without a
        parameter, and a parameter in no group or in two.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = by_pattern(rules.sgd(), {"head": "head", "plain": ["*bias", "norm"]}, default="rest")
    >>> params = {"body": {"w": jnp.ones(2), "bias": jnp.ones(1)}, "norm": jnp.ones(1), "head": jnp.ones(1)}
    >>> hyper = rule.hyper(lr=0.5, weight_decay=0.5, plain={"weight_decay": 0.0}, head={"lr_scale": 0.5})
    >>> params, state = rule.step(hyper, params, rule.init(params), params)
    >>> params["body"]["w"].tolist(), params["body"]["bias"].tolist(), params["head"].tolist()
    ([0.25, 0.25], [0.5], [0.625])
    """
    found = checked_patterns(patterns, default)
    labels = [*(label for label, _ in found.patterns), *([] if default is None else [default])]
    members = _members(rule, labels)
    for label in (*members, *labels):
        if label not in members or label not in labels:
            lacks = "a rule" if label not in members else "a pattern"
            raise ValueError(f"groups: {label!r} has no {lacks.split()[-1]}: give it {lacks} too")
    return _by_pattern(tuple((label, members[label]) for label in labels), found)


@functools.cache
def _by_pattern(members: tuple[tuple[str, Member], ...], patterns: Any) -> Groups:
    return Groups(MappingProxyType(dict(members)), patterns)


def by_label(rules: Mapping[str, Any], labels: Any) -> Groups:
    """Groups by labels, as ``optax.partition`` has them.

    Parameters
    ----------
    rules : mapping of label to Rule, Wrapper or None
        ``None`` freezes a group.
    labels : pytree of labels like the parameters or the upper part of them, or a function from parameters to one

    Returns
    -------
    Groups
        For equal labels, or the same function, the very same.

    Raises
    ------
    TypeError, ValueError
        As :func:`by_pattern`.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> matrices = lambda params: jax.tree.map(lambda p: "matrix" if p.ndim == 2 else "vector", params)
    >>> rule = by_label({"matrix": rules.muon(), "vector": rules.adam()}, matrices)
    >>> rule.hyper(lr=0.1, matrix={"momentum": 0.9}).matrix.momentum
    0.9
    """
    if not isinstance(rules, Mapping):
        raise TypeError(f"groups: by_label takes a mapping from labels to rules, not {rules!r}")
    members = tuple(_members(rules, ()).items())
    if callable(labels):
        return _by_label(members, labels, None)
    leaves, structure = jax.tree.flatten(labels)
    for label in leaves:
        if not isinstance(label, str):
            raise TypeError(f"groups: labels must be text, such as 'head', not {label!r}")
    return _by_label(members, tuple(leaves), structure)


@functools.cache
def _by_label(members: tuple[tuple[str, Member], ...], labels: Any, structure: Any) -> Groups:
    """With a function, or with the leaves of a tree and its structure."""
    tree = labels if structure is None else structure.unflatten(labels)
    return Groups(MappingProxyType(dict(members)), Labels(tree))


def layer_decay(labels: Sequence[str], decay: Any) -> dict[str, dict[str, Any]]:
    """Layer-wise decay of lr: each group has ``decay`` times the lr of the next, and the last the whole of it.

    Parameters
    ----------
    labels : sequence
        Of groups, from the input of the network to its output.
    decay : scalar in [0, inf)
        Traced values are fine.

    Returns
    -------
    dict
        ``lr_scale`` by label: arguments of :meth:`Groups.hyper`, and of :func:`lrtheory.optax.transformation`.

    References
    ----------
    Clark et al. 2020 (2003.10555), section 3.1; Bao et al. 2021 (2106.08254), section 3.1.

    Examples
    --------
    >>> layer_decay(["embedding", "block_0", "block_1"], 0.5)
    {'embedding': {'lr_scale': 0.25}, 'block_0': {'lr_scale': 0.5}, 'block_1': {'lr_scale': 1.0}}
    """
    last = len(labels) - 1
    if isinstance(labels, str) or len(set(labels)) != len(labels):
        raise ValueError(f"groups: layer_decay takes labels, each once, not {labels!r}")
    decay = LR_SCALE.checked("layer_decay", "decay", decay)
    return {label: {"lr_scale": decay ** (last - i)} for i, label in enumerate(labels)}
