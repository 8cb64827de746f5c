"""A factor for each tensor: the law of one tensor, many times, where the rule steps each by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from ..dims.coupling import coupling
from ..rules import Rule
from ..wrappers import Wrapper
from .result import Rescaled, weakest


def per_tensor(rule: Rule | Wrapper, factors: Mapping[str, float], one: Callable[[float], Rescaled]) -> Rescaled:
    """Hyperparameters by tensor, and the state of all of them.

    Parameters
    ----------
    factors : what each tensor is multiplied by, with the forward pass divided by it
    one : the answer for one factor

    Raises
    ------
    ValueError
        For no tensor, or a rule that takes tensors together.
    """
    if not factors:
        raise ValueError("params={}: give a factor for each tensor by name, such as params={'query': 4.0}")
    if (joined := _joined(rule)) is not None:
        raise ValueError(
            f"{joined!r} steps small tensors together, with one set of hyperparameters: give one factor for all parameters, or "
            f"{joined.rule!r} in its place"
        )
    where = coupling(rule)
    if where is not None:
        raise ValueError(
            f"{rule!r} takes tensors together at {where} ({where.source}), so that none has a law of its own: "
            "give one factor for all parameters"
        )
    each = {name: one(factor) for name, factor in factors.items()}
    rest = one(1.0)
    notes = dict.fromkeys(rest.notes) | {
        f"{name}: {note}": None for name, found in each.items() for note in found.notes if note not in rest.notes
    }

    def state(given: Any) -> Any:
        leaves, structure = jax.tree_util.tree_flatten_with_path(given)
        changed = {name: jax.tree.leaves(found.state(given)) for name, found in each.items()}
        others, seen, result = jax.tree.leaves(rest.state(given)), set(), []
        for at, (path, _) in enumerate(leaves):
            name = next((n for n in factors if _is_of(path, n)), None)
            seen.add(name)
            result.append(others[at] if name is None else changed[name][at])
        absent = [name for name in factors if name not in seen]
        if absent and leaves:
            raise ValueError(f"the state has no tensor {absent[0]!r}: its paths end otherwise")
        return structure.unflatten(result)

    exactness = rest.exactness
    for found in each.values():
        exactness = weakest(exactness, found.exactness)
    hyper = {name: found.hyper for name, found in each.items()}
    return Rescaled(rule, hyper, exactness, rest.method, tuple(notes), state)


def _joined(rule: Rule | Wrapper) -> Wrapper | None:
    """What joins tensors, around the rule or between wrappers."""
    while isinstance(rule, Wrapper):
        if rule.name == "flatten":
            return rule
        rule = rule.rule
    return None


def _is_of(path: Any, tensor: str) -> bool:
    """Whether a leaf of a state is of the tensor: its path ends with the whole path of the tensor, after names of slots."""

    def text(keys: Any) -> str:
        return "." + jax.tree_util.keystr(tuple(keys), simple=True, separator=".")

    own = itertools.dropwhile(lambda key: isinstance(key, jax.tree_util.GetAttrKey), path)
    return text(path).endswith(f".{tensor}") and f".{tensor}".endswith(text(own).rstrip("."))
