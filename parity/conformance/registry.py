"""The checks by id, each with what it demands and of which kind of target."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

KINDS = ("jax", "torch")


@dataclass(frozen=True)
class Check:
    """One demand on an optimizer.

    Attributes
    ----------
    id : str
    demands : str
        What a conforming target does, in a sentence.
    kinds : tuple of str
        ``jax``, ``torch`` or both.
    function : callable
        Takes the target, and a run if the check draws one; raises through :mod:`.comparing`.
    examples : int
        Runs that Hypothesis draws beside the standard one; 0 for a check that makes its own data.
    """

    id: str
    demands: str
    kinds: tuple[str, ...]
    function: Callable[..., None]
    examples: int


_CHECKS: dict[str, Check] = {}


def register(
    id: str, demands: str, *, kinds: tuple[str, ...] = KINDS, examples: int = 0
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a check."""

    def keep(function: Callable[..., None]) -> Callable[..., None]:
        for kind in kinds:
            if any(kind in check.kinds for check in _CHECKS.values() if check.id == id):
                raise ValueError(f"there is a check {id!r} for {kind} already")
        _CHECKS[f"{id} {'+'.join(kinds)}"] = Check(id, demands, kinds, function, examples)
        return function

    return keep


def checks(kind: str | None = None) -> dict[str, Check]:
    """The checks of one kind of target by id; of every kind, with the kinds in the key where an id has two checks."""
    importlib.import_module(".suite", __package__)  # fills the registry

    if kind is None:
        return dict(_CHECKS)
    return {check.id: check for check in _CHECKS.values() if kind in check.kinds}


def get(kind: str, id: str) -> Check:
    """The check of that id.

    Raises
    ------
    ValueError
        With the ids that there are.
    """
    found: Any = checks(kind)
    if id not in found:
        raise ValueError(f"no check {id!r} for {kind} targets: there are {', '.join(found)}")
    return found[id]
