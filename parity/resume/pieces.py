"""State in pieces: taken from a training, compared, and put back one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from lrtheory.adopting.state_dict import is_state_dict

from .training import array, copied


def taken(pieces: Mapping[str, Any]) -> dict[str, Any]:
    """The states of all pieces."""
    return {name: copied(piece.state_dict()) for name, piece in pieces.items()}


def put(piece: Any, state: Any) -> None:
    """A state into its piece; the state stays as it is."""
    piece.load_state_dict(copied(state))


def parts(name: str, state: Any) -> Iterator[str]:
    """The names of what a piece is made of: slots and hyperparameters of an optimizer, fields of named tuples; else itself."""
    if is_state_dict(state):
        slots = dict.fromkeys(slot for kept in state["state"].values() for slot in kept)
        numbers = dict.fromkeys(n for group in state["param_groups"] for n in group if n != "params")
        yield from (f"{name}.{part}" for part in (*slots, *numbers))
        return
    fields = dict.fromkeys(_field(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0])
    if len(fields) > 1 and all(fields):
        yield from (f"{name}.{field}" for field in fields)
    else:
        yield name


def _field(path: Any) -> str:
    """The last field of a named tuple on the way to a leaf."""
    return next((key.name for key in reversed(path) if isinstance(key, jax.tree_util.GetAttrKey)), "")


def with_part(state: Any, other: Any, name: str, part: str) -> Any:
    """A state with one part of another."""
    if part == name:
        return other
    field = part.removeprefix(f"{name}.")
    if is_state_dict(state):
        state = copied(state)
        for key, kept in other["state"].items():
            if field in kept:
                state["state"].setdefault(key, {})[field] = kept[field]
        for group, theirs in zip(state["param_groups"], other["param_groups"], strict=True):
            if field in theirs:
                group[field] = theirs[field]
        return state
    pairs = zip(*(jax.tree_util.tree_flatten_with_path(each)[0] for each in (state, other)), strict=True)
    leaves = [theirs if _field(path) == field else own for (path, own), (_, theirs) in pairs]
    return jax.tree.unflatten(jax.tree.structure(state), leaves)


def differing(pieces: Mapping[str, Any], truth: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each piece and part that is not as it was."""
    found = []
    for name, state in taken(pieces).items():
        if not equal(state, truth[name]):
            alike = _structure(state) == _structure(truth[name])  # else a part alone is no state to go on from
            for part in parts(name, truth[name]) if alike else (name,):
                if part == name or not equal(with_part(state, truth[name], name, part), state):
                    found.append((name, part))
    return found


def _structure(state: Any) -> Any:
    if is_state_dict(state):
        return {key: set(kept) for key, kept in state["state"].items()}
    return jax.tree.structure(state)


def equal(a: Any, b: Any) -> bool:
    """Whether two states are the same, bit for bit."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if hasattr(a, "dtype") or hasattr(b, "dtype"):
        left, right = (np.asarray(array(x)) if hasattr(x, "dtype") else np.asarray(x) for x in (a, b))
        return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if hasattr(a, "__dict__") and type(a) is type(b) and type(a).__eq__ is object.__eq__:
        return equal(vars(a), vars(b))
    return bool(a == b) or (a != a and b != b)
