"""Units with unknowns in them: known exponents plus rational multiples of unknown units."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from ...units import PURE, Units


class Expression(NamedTuple):
    """``known + Σ multiple·unknown``: the exponents of a product of powers, some of whose factors have unknown units.

    ``terms`` holds ``(unknown, multiple)`` by rising number of the unknown, without zero multiples.
    """

    known: Units
    terms: tuple[tuple[int, Fraction], ...] = ()

    @classmethod
    def unknown(cls, number: int) -> Expression:
        """One unknown to the power 1."""
        return cls(PURE, ((number, Fraction(1)),))

    def times(self, other: Expression) -> Expression:
        """Units of a product."""
        if not other.terms:
            return Expression(self.known.times(other.known), self.terms) if any(other.known) else self
        if not self.terms:
            return other.times(self)
        multiples = dict(self.terms)
        for number, multiple in other.terms:
            multiples[number] = multiples.get(number, 0) + multiple
        return Expression(self.known.times(other.known), _terms(multiples))

    def over(self, other: Expression) -> Expression:
        """Units of a quotient."""
        return self.times(other.power(-1))

    def power(self, exponent: Fraction | int) -> Expression:
        """Units of a power with a known rational exponent."""
        if exponent == 0:
            return PURE_EXPRESSION
        if not self.terms and not any(self.known):
            return self
        return Expression(self.known.power(exponent), tuple((n, m * exponent) for n, m in self.terms))

    def show(self, name_of: Callable[[int], str]) -> str:
        """Text such as ``beta2·v·[param]²/[loss]``, with the unknowns by name."""
        factors = [(name_of(n), m) for n, m in self.terms]
        above = [_power(name, m) for name, m in factors if m > 0]
        below = [_power(name, -m) for name, m in factors if m < 0]
        for base, exponent in (("[loss]", self.known.loss), ("[param]", self.known.param)):
            if exponent:
                (above if exponent > 0 else below).append(_power(base, abs(exponent)))
        divisor = "·".join(below)
        return ("·".join(above) or "1") + (f"/({divisor})" if len(below) > 1 else f"/{divisor}" if below else "")


def _power(base: str, exponent: Fraction) -> str:
    return base if exponent == 1 else f"{base}^{exponent}" if exponent.denominator == 1 else f"{base}^({exponent})"


def _terms(multiples: dict[int, Fraction]) -> tuple[tuple[int, Fraction], ...]:
    return tuple(sorted((n, m) for n, m in multiples.items() if m))


PURE_EXPRESSION = Expression(PURE)
