"""One row a rule: the options and numbers it is replayed with, and what it is called elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from lrtheory import rules
from lrtheory.names.torch import NAMES, TorchName

#: For rules in which the shape of a tensor counts.
EVERY_RANK: Mapping[str, tuple[int, ...]] = {"weight": (5, 4), "bias": (7,), "scalar": (), "kernel": (2, 3, 2)}


class Inexpressible(Exception):
    """A backend has no such rule or option; the message says which."""


class Refused(Exception):
    """A backend has the rule and the option and does not run the case; the message is its own."""


@dataclass(frozen=True)
class TorchRow(TorchName):
    """A rule in torch.optim: what it is called, and how it is replayed.

    Attributes
    ----------
    state : mapping
        Our state field → key in torch's per-parameter state.
    implementations : tuple
        Those beside the plain loop: ``"foreach"``, ``"fused"``.
    """

    state: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    implementations: tuple[str, ...] = field(default=("foreach",), kw_only=True)


def torch_row(rule: str, *, state: Mapping[str, str], implementations: tuple[str, ...] = ("foreach",)) -> TorchRow:
    """The row of a rule that :mod:`lrtheory.names.torch` has a name for."""
    name = NAMES[rule]
    return TorchRow(name.optimizer, name.numbers, name.options, state=state, implementations=implementations)


@dataclass(frozen=True)
class OptaxRow:
    """A rule in optax.

    Attributes
    ----------
    build : callable
        ``(options, numbers, lr_of_count) -> optax.GradientTransformation``; raises :class:`Inexpressible` with
        the reason where optax cannot express the options.
    state : mapping
        Our state field → field name in optax's state.
    """

    build: Callable[[Mapping[str, Any], Mapping[str, float], Any], Any]
    state: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """How one rule is replayed.

    ``variants`` are pairs of options and numbers; without any, every combination of the rule's boolean options is
    run with its default numbers. ``tensors`` are the shapes of a rule for which they count, ``sparse`` says
    that its gradients are sparse: the entries of the stream that are not 0. ``gate`` is the float64 bound of a rule
    whose reference works in fewer digits.
    """

    variants: tuple[tuple[Mapping[str, Any], Mapping[str, float]], ...] = ()
    torch: TorchRow | None = None
    optax: OptaxRow | None = None
    tensors: Mapping[str, tuple[int, ...]] | None = None
    sparse: bool = False
    gate: float | None = None


_ROWS: dict[str, Row] = {}


def add(rule: str, row: Row) -> None:
    """Give a rule its row."""
    if rule in _ROWS:
        raise ValueError(f"rule {rule!r} has a row already")
    _ROWS[rule] = row


def row(rule: str) -> Row:
    """The row of a rule; an empty one for a rule that has none, so that a new rule can be run at once."""
    return _ROWS.get(rule, Row())


def known_rules() -> list[str]:
    """Rules that are replayed: all in the registry but for aliases, which give the same Rule."""
    return [name for name in rules.names() if rules.get(name)().name == name]


def variants(rule: str) -> tuple[tuple[Mapping[str, Any], Mapping[str, float]], ...]:
    """Options and numbers the rule is replayed with."""
    given = row(rule).variants
    if given:
        return given
    switches = [name for name, value in rules.get(rule)().options.items() if isinstance(value, bool)]
    choices = [dict(zip(switches, values, strict=True)) for values in product((False, True), repeat=len(switches))]
    return tuple((options, {}) for options in choices)
