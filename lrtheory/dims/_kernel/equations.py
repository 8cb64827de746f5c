"""Equations between units: what a line of a program demands, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .expression import Expression


class Location(NamedTuple):
    """A line of a program, with the lines that called it, innermost first."""

    file: str
    line: int
    function: str
    source: str
    callers: tuple[Location, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class UnknownOperationError(NotImplementedError):
    """A primitive or function that the tables do not have, so that nothing can be said of the program."""

    def __init__(self, kind: str, name: str, location: Location | None) -> None:
        where = f" at {location}: {location.source}" if location else ""
        super().__init__(f"no units rule for the {kind} {name!r}{where}")


class Origin(Protocol):
    """Where an equation comes from. Finding the line costs more than solving, so it is looked up when shown."""

    def location(self) -> Location | None:
        """The line of the program, or ``None`` for a demand that no line states."""
        ...


@dataclass(frozen=True)
class Demand:
    """An origin without a line, such as that a step must leave the units of the state alone."""

    def location(self) -> Location | None:
        """There is no line."""
        return None


@dataclass(frozen=True)
class Guard:
    """A protection of the program against values that should not occur, which may keep its own units."""

    condition: str  # when it acts
    # the number that bounds it, or None for exactly 0 and for values that are not finite
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class Equation:
    """``left`` and ``right`` have one unit."""

    left: Expression
    right: Expression
    what: str  # what the program does with the two: adds, compares, takes the exponential of …
    origin: Origin
    literal: float | None = None  # the bare number that right is, if it is one
    guard: Guard | None = None  # set where the equation only has to hold when the guard acts

    @property
    def difference(self) -> Expression:
        """What must be a pure number."""
        return self.left.over(self.right)
