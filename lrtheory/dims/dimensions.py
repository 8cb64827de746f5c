"""What was inferred of an update: units, guards, and where and why no law holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from ..units import PARAM, Units
from ._kernel.equations import Location

#: What is said of a number that nothing can read, and of one that nothing was seen to read.
UNREAD, NOT_READ_HERE = "nothing in the step reads it", "the step, as it was run here, does not read it"


class ChainLink(NamedTuple):
    """One of the lines that together contradict each other, and what it demands."""

    location: Location | None
    demand: str


@dataclass(frozen=True)
class Break:
    """A line that makes every law impossible.

    Attributes
    ----------
    location : Location or None
        The line; ``None`` where no single line of the program is to blame.
    statement : str
        What it does.
    residual : Units
        What the two sides are apart; a scaling that leaves these units alone is still obeyed.
    literal : float or None
        The bare number at the heart of it.
    chain : tuple of ChainLink
        The lines that together contradict each other, in the order of the program; without any one of them
        the others agree.
    residuals : tuple of Units
        All that the line is off by, in its several demands.
    """

    location: Location | None
    statement: str
    residual: Units
    literal: float | None
    chain: tuple[ChainLink, ...]
    residuals: tuple[Units, ...] = ()

    def __str__(self) -> str:
        return f"{self.location}: {self.statement}" if self.location else self.statement


@dataclass(frozen=True)
class GuardFound:
    """A protection that does not obey the law when it acts, and when that is."""

    location: Location | None
    condition: str
    residual: Units
    threshold: float | None = None
    """The number that bounds it; ``None`` for what is exactly 0 or not finite."""

    def __str__(self) -> str:
        return f"{self.condition}" + (f" ({self.location})" if self.location else "")


@dataclass(frozen=True)
class Dimensions:
    """Units of hyperparameters and state, and the verdict on the laws that follow from them.

    Attributes
    ----------
    target : str
    hyper, state : mapping of str to Units
        By name and by path. Where several choices obey all demands, free quantities count as pure numbers.
    free : frozenset of str
        Hyperparameters and state for which any units will do.
    ties : mapping of str to str
        Quantities whose units depend on those of a free one, such as ``lr`` on ``1/trust_coefficient``.
    update : Units
        Units of what is added to the parameters: [param], or those of a transformation's output.
    breaks : tuple of Break
        Empty when a law holds.
    guards : tuple of GuardFound
    unknown : str or None
        Why nothing could be said.
    notes : tuple of str
        What was held fixed, and which branches were covered.
    proviso : str
        For numbers that no law allows to be anything but 0: that they are, and what breaks where they are not.
    unread : mapping of str to str
        Numbers that no step was seen to read, and whether any can.
    program : object
        What was read, with its numbers, for whoever wants to run it again.
    """

    target: str
    hyper: Mapping[str, Units] = field(default_factory=dict)
    state: Mapping[str, Units] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    ties: Mapping[str, str] = field(default_factory=dict)
    update: Units = PARAM
    breaks: tuple[Break, ...] = ()
    guards: tuple[GuardFound, ...] = ()
    unknown: str | None = None
    notes: tuple[str, ...] = ()
    proviso: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    program: Any = field(default=None, compare=False, repr=False)

    @property
    def status(self) -> str:
        """``proven``, ``guarded``, ``broken`` or ``unknown``."""
        if self.unknown is not None:
            return "unknown"
        if self.breaks:
            return "broken"
        return "guarded" if self.guards else "proven"

    @property
    def verdict(self) -> str:
        """``proven``, ``proven unless GUARD``, ``broken at LINE`` or ``unknown (why)``."""
        if self.unknown is not None:
            return f"unknown ({self.unknown})"
        if self.breaks:
            where = [str(b.location) if b.location else b.statement for b in self.breaks]
            return f"broken at {where[0]}" + (f" and {len(where) - 1} more" if len(where) > 1 else "")
        unless = "unless " + "; ".join(dict.fromkeys(str(g) for g in self.guards)) if self.guards else ""
        return " ".join(part for part in ("proven", self.proviso, unless) if part)

    def of_no_use(self, given: Iterable[str]) -> Iterator[str]:
        """What is said of numbers that a user has given and no step reads."""
        yield from (f"{name} is given, and {self.unread[name]}" for name in sorted(given) if name in self.unread)

    @property
    def survives(self) -> str | None:
        """The one-parameter scaling that a broken program still obeys; ``None`` where all or none do.

        A scaling by ``loss × k^a`` and ``params × k^b`` leaves the two sides of every break alike if ``a`` and ``b``
        make every residual a pure number.
        """
        direction = self.surviving_direction
        if direction is None:
            return None
        parts = [
            f"{name} ×k" + ("" if power == 1 else f"^{power}")
            for name, power in zip(("loss", "params"), direction, strict=True)
            if power
        ]
        return " with ".join(parts)

    @property
    def surviving_direction(self) -> tuple[Fraction, Fraction] | None:
        """Exponents (of the loss, of the parameters) of that scaling."""
        if not self.breaks or self.unknown is not None:
            return None
        residuals = [residual for b in self.breaks for residual in (b.residual, *b.residuals)]
        loss, param = residuals[0]
        if any(r.loss * param != r.param * loss for r in residuals):
            return None
        if param == 0:
            return Fraction(0), Fraction(1)
        return Fraction(1), -loss / param

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""

        def place(location: Location | None) -> dict[str, Any] | None:
            if location is None:
                return None
            called_from = [str(c) for c in location.callers]
            return {"file": location.file, "line": location.line, "function": location.function,
                    "source": location.source, "called_from": called_from}  # fmt: skip

        def quantity(name: str, units: Units) -> dict[str, Any]:
            return {"units": str(units), "loss": str(units.loss), "param": str(units.param),
                    "free": name in self.free, "tied": self.ties.get(name)}  # fmt: skip

        return {
            "target": self.target,
            "status": self.status,
            "verdict": self.verdict,
            "hyper": {name: quantity(name, units) for name, units in self.hyper.items()},
            "state": {name: quantity(name, units) for name, units in self.state.items()},
            "update": str(self.update),
            "breaks": [
                {
                    "at": place(b.location),
                    "statement": b.statement,
                    "residual": str(b.residual),
                    "literal": b.literal,
                    "chain": [{"at": place(link.location), "demand": link.demand} for link in b.chain],
                }
                for b in self.breaks
            ],
            "survives": self.survives,
            "guards": [
                {"at": place(g.location), "condition": g.condition, "residual": str(g.residual)} for g in self.guards
            ],
            "notes": list(self.notes),
        }
