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
    """Abstract value of one array, all entries alike.

    Attributes
    ----------
    units : Expression or None
        ``None`` fits any units: exactly 0, and what is not a finite number.
    constant : float or None
        The number that every entry is known to be.
    nonnegative : bool
        Whether it is known to be 0 or more for all real inputs.
    measured : bool
        Whether it depends on gradients, parameters or state in floating point: values that a user does not set.
    rare : Rare or None
        For truth values: which outcome only occurs for degenerate input.
    name : str
        What it is called in messages, where it has a name.
    origin : object
        The line that made it.
    identity : object
        The same for two values that are known to agree entry by entry, up to shape.
    deferred : tuple of Deferred
        Demands that hold if this value comes out in a result.
    """

    units: Expression | None
    constant: float | None = None
    nonnegative: bool = False
    measured: bool = False
    rare: Rare | None = None
    name: str = ""
    origin: Any = None
    identity: Any = None
    deferred: tuple[Deferred, ...] = ()

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
