"""What is known of a number or array in the middle of an update: its units, and a few facts that guards turn on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from .expression import PURE_EXPRESSION, Expression


@dataclass(frozen=True)
class Rare:
    """A truth value that is ``outcome`` only for values that should not occur, and says which."""

    outcome: bool
    condition: str
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class Deferred:
    """A demand that lapses where the same choice, made again, discards what this one put in.

    Programs protect a function by ``where(bad, 1, x)`` before it and ``where(bad, …, f(x))`` after it: the 1 never
    comes out.
    """

    choice: Any
    outcome: bool
    demand: tuple[Any, ...]
    uniform: bool = False
    """Whether the choice is one for all entries, so that entries may be mixed in between."""


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """Abstract value of one array, all entries alike."""

    units: Expression | None  # None fits any units: exactly 0, and what is not a finite number
    constant: float | None = None  # the number that every entry is known to be
    nonnegative: bool = False  # whether it is known to be 0 or more for all real inputs
    # whether it depends on gradients, parameters or state in floating point: values that a user does not set
    measured: bool = False
    # whether ordinary inputs make it exactly 0: a count, an index, what a choice or bound set to 0
    often_zero: bool = False
    rare: Rare | None = None  # for truth values: which outcome only occurs for degenerate input
    name: str = ""  # what it is called in messages, where it has a name
    origin: Any = None  # the line that made it
    identity: Any = None  # the same for two values that are known to agree entry by entry, up to shape
    deferred: tuple[Deferred, ...] = ()  # demands that hold if this value comes out in a result

    def but(self, **changes: Any) -> Value:
        """A copy with some facts changed."""
        return replace(self, **changes)

    @property
    def is_zero(self) -> bool:
        """Whether it is exactly 0."""
        return self.constant == 0

    @property
    def or_pure(self) -> Expression:
        """Units, with those of a value that fits any taken as a pure number."""
        return PURE_EXPRESSION if self.units is None else self.units


def number(value: float) -> Value:
    """A bare number in the program: pure, unless it is 0, inf or nan, which fit any units."""
    value = float(value)
    anything = value == 0 or not math.isfinite(value)
    units = None if anything else PURE_EXPRESSION
    return Value(units, constant=value, nonnegative=value >= 0, identity=("number", value))


PURE_VALUE = Value(PURE_EXPRESSION)
