"""Exact linear equations over the rationals, solved one at a time, with the reason for every contradiction.

Both base units share one matrix and differ only in the right-hand side, so an equation is a row of rational
multiples of the unknowns and two constants. The rows kept are always linearly independent. A new row that they
span is therefore a combination of them in exactly one way, and if its constants disagree, the rows of that
combination together with the new one are an irreducible contradiction: leave out any of them and the rest agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from ...units import PURE, Units
from .expression import Expression


@dataclass
class _Row:
    """``pivot + Σ multiple·unknown + known = 0``, and the equations it is a combination of."""

    terms: dict[int, Fraction]
    known: Units
    sources: dict[int, Fraction]

    def add(self, other: _Row, factor: Fraction) -> None:
        for into, summands in ((self.terms, other.terms), (self.sources, other.sources)):
            for key, value in summands.items():
                total = into.get(key, 0) + factor * value
                if total:
                    into[key] = total
                else:
                    into.pop(key, None)
        self.known = self.known.times(other.known.power(factor))


@dataclass(frozen=True)
class Contradiction:
    """The equations (by number) that cannot all hold, and the units that the last of them is off by."""

    equations: tuple[int, ...]
    residual: Units


@dataclass
class Solver:
    """A growing system: the unknowns, and for each equation whether it agrees with those before it.

    ``priority`` says which of several unknowns an equation should determine: the highest. The others stay free.
    """

    priority: Callable[[int], int] = lambda number: 0
    _rows: dict[int, _Row] = field(default_factory=dict)

    def add(self, number: int, pure: Expression) -> Contradiction | None:
        """Demand that ``pure`` is a pure number, as equation ``number``; refused where it contradicts earlier ones."""
        row = self._reduced(pure)
        row.sources[number] = row.sources.get(number, Fraction(0)) + 1
        if not row.terms:
            return None if row.known.is_pure else Contradiction(tuple(sorted(row.sources)), row.known)
        pivot = max(row.terms, key=lambda n: (self.priority(n), n))
        scale = 1 / row.terms[pivot]
        row = _Row(
            {n: m * scale for n, m in row.terms.items()},
            row.known.power(scale),
            {n: m * scale for n, m in row.sources.items()},
        )
        for other in self._rows.values():
            if pivot in other.terms:
                other.add(row, -other.terms[pivot])
        self._rows[pivot] = row
        return None

    @property
    def rank(self) -> int:
        """How many unknowns are determined."""
        return len(self._rows)

    def residual(self, pure: Expression) -> tuple[Units, bool]:
        """Units of an expression with free unknowns taken as pure numbers, and whether it contains any of them."""
        row = self._reduced(pure)
        return row.known, bool(row.terms)

    def sources(self, pure: Expression) -> tuple[int, ...]:
        """The equations that the units of an expression follow from."""
        return tuple(sorted(self._reduced(pure).sources))

    def value(self, number: int) -> Units:
        """Units of an unknown, with free unknowns taken as pure numbers."""
        row = self._rows.get(number)
        return PURE if row is None else row.known.power(-1)

    def tied_to(self, number: int) -> tuple[tuple[int, Fraction], ...]:
        """The free unknowns that this one's units depend on; itself where it is free."""
        row = self._rows.get(number)
        if row is None:
            return ((number, Fraction(1)),)
        return tuple(sorted((n, -m) for n, m in row.terms.items() if n != number))

    def _reduced(self, pure: Expression) -> _Row:
        row = _Row(dict(pure.terms), pure.known, {})
        for number, _ in pure.terms:
            known = self._rows.get(number)
            if known is not None:
                row.add(known, -row.terms[number])
        return row
