"""What comes of adopting an optimizer: its groups in our terms, and what is around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..rules import Rule


@dataclass(frozen=True)
class Group:
    """A group of parameters.

    Attributes
    ----------
    names : tuple of str
        Of its parameters: qualified where a model or a tree gives them, else their positions in the optimizer.
    rule : Rule or None
        ``None`` for an opaque group, which is none of our rules.
    hyper : the rule's numbers now in force, or None
    reason : str
        Why it is opaque; empty with a rule.
    lr : float or None
        The nominal lr, of an opaque group too.
    params : dict of name to array
    state : the rule's state over ``params``, or None
    unknown : mapping of slot to reason
        Slots of the state that the framework does not keep: nan, or a count of 1. No step depends on them.
    notes : tuple of str
        What was seen and plays no part.
    """

    names: tuple[str, ...]
    rule: Rule | None
    hyper: Any = None
    reason: str = ""
    lr: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    state: Any = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adopted:
    """An optimizer in our terms.

    Attributes
    ----------
    framework : str
        ``"torch"``, ``"optax"`` or ``"keras"``.
    kind : str
        The class or transformation by name.
    groups : tuple of Group
    notes : tuple of str
        What was seen of the optimizer as a whole.
    """

    framework: str
    kind: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
