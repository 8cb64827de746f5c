"""What operations do to units, in a few rules that many primitives share.

A rule takes the :class:`Site` (the equation, its line and the ledger) and the values of its operands, and returns
the values of its results. ``docs/units.md`` argues for each class of entries that it is sound: if the operands are
multiplied by the factors of their units, and the demands written in the ledger hold, then so are the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .._kernel.equations import Origin
from .._kernel.ledger import Ledger
from .._kernel.value import PURE_VALUE, Rare, Value, number


@dataclass
class Site:
    """One operation at work: where its demands are written, its line, and whether both operands are one variable.

    ``eqn`` is its equation, which an operation of a running program does not have.
    """

    ledger: Ledger
    at: Origin
    squares: bool = False
    eqn: Any = None

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the primitive."""
        return {} if self.eqn is None else self.eqn.params


Values = Sequence[Value]
One = Callable[[Site, Values], Value]
Operation = Callable[[Site, Values], Value | list[Value]]


def measured(values: Values) -> bool:
    """Whether any of the values depends on gradients, parameters or state."""
    return any(v.measured for v in values)


def keep(site: Site, values: Values) -> Value:
    """The first operand, moved, copied, negated or added up: units and zero stay; the other operands are indices."""
    value = values[0]
    return value.but(constant=0.0 if value.is_zero else None, name="", identity=None)


def added_up(site: Site, values: Values) -> Value:
    """A sum of entries; of floats it is not 0 where some of them are."""
    (value,) = values
    return keep(site, values).but(often_zero=value.often_zero and site.eqn.invars[0].aval.dtype.kind != "f")


def signed(site: Site, values: Values) -> Value:
    """The first operand's units; of what is never negative something that may be."""
    return keep(site, values).but(nonnegative=False)


def broadcast(site: Site, values: Values) -> Value:
    """The first operand with every entry as it was; where entries change places, it is another array."""
    operand, result = site.eqn.invars[0].aval, site.eqn.outvars[0].aval
    return values[0] if operand.size == 1 or operand.shape == result.shape else values[0].but(identity=None)


def negate(site: Site, values: Values) -> Value:
    """Minus the operand."""
    constant = values[0].constant
    return values[0].but(
        constant=None if constant is None else -constant, nonnegative=constant == 0, name="", identity=None
    )


def magnitude(site: Site, values: Values) -> Value:
    """A size: the operand's units, never negative."""
    constant = values[0].constant
    return values[0].but(constant=None if constant is None else abs(constant), nonnegative=True, name="", identity=None)


def add(site: Site, values: Values) -> Value:
    """One unit for all operands."""
    return _plus(site, values, "adds", all(v.nonnegative for v in values))


def subtract(site: Site, values: Values) -> Value:
    """One unit for both operands."""
    return _plus(site, values, "subtracts", False)


def _plus(site: Site, values: Values, what: str, nonnegative: bool) -> Value:
    return Value(site.ledger.sum(values, what, site.at), nonnegative=nonnegative, measured=measured(values))


def multiply(site: Site, values: Values) -> Value:
    """Units add."""
    left, right = values
    units = site.ledger.product(left, right)
    nonnegative = site.squares or (left.nonnegative and right.nonnegative)
    zero = 0.0 if left.is_zero or right.is_zero else None
    return Value(units, zero, nonnegative, measured(values), left.often_zero or right.often_zero)


def contract(site: Site, values: Values) -> Value:
    """A sum of products."""
    product = multiply(site, values[:2])
    return product.but(nonnegative=values[0].nonnegative and values[1].nonnegative, often_zero=False)


def divide(site: Site, values: Values) -> Value:
    """Units subtract."""
    left, right = values
    units = site.ledger.quotient(left, right)
    nonnegative = left.nonnegative and right.nonnegative
    return Value(units, 0.0 if left.is_zero else None, nonnegative, measured(values), left.often_zero)


def power(exponent: Fraction | int, *, nonnegative: bool) -> One:
    """A fixed rational power: units are multiplied by it."""

    def rule(site: Site, values: Values) -> Value:
        (base,) = values
        units = site.ledger.power(base, exponent)
        return Value(units, None, nonnegative or base.nonnegative, base.measured, base.often_zero)

    return rule


def integer_power(site: Site, values: Values) -> Value:
    """A fixed integer power."""
    y = site.params["y"]
    return power(y, nonnegative=y % 2 == 0)(site, values)


def general_power(site: Site, values: Values) -> Value:
    """A power whose exponent is a known number multiplies units; an exponent that varies wants two pure numbers."""
    base, exponent = values
    if exponent.constant is not None and math.isfinite(exponent.constant):
        even = exponent.constant % 2 == 0
        units = site.ledger.power(base, rational(exponent.constant))
        return Value(units, None, even or base.nonnegative, measured(values), base.often_zero)
    site.ledger.exponents |= {exponent.name, *(site.ledger.names[n] for n, _ in exponent.or_pure.terms)}
    site.ledger.pure(exponent, "raises to a power of", site.at)
    units = site.ledger.pure(base, "raises to a varying power", site.at)
    return Value(units, None, base.nonnegative, measured(values))


def rational(value: float) -> Fraction:
    """The simple fraction that a float stands for (0.2 in float32 means 1/5), or the float itself."""
    simple = Fraction(value).limit_denominator(64)
    return simple if abs(float(simple) - value) <= 1e-6 * abs(value) else Fraction(value)


def transcendental(what: str, *, nonnegative: bool = False) -> One:
    """A function that is no power: pure numbers in, a pure number out."""

    def rule(site: Site, values: Values) -> Value:
        for value in values:
            site.ledger.pure(value, what, site.at)
        return PURE_VALUE.but(nonnegative=nonnegative, measured=measured(values), often_zero=what == "rounds")

    return rule


def forget(site: Site, values: Values) -> Value:
    """A pure number that a positive factor on the operand does not change: an index, a truth value."""
    return PURE_VALUE.but(measured=measured(values), often_zero=True)


def sign(site: Site, values: Values) -> Value:
    """Of the operand, and 0 where that is."""
    return PURE_VALUE.but(measured=values[0].measured, often_zero=values[0].often_zero)


def ratio_only(what: str) -> One:
    """Operands of one unit, of which only the ratio counts."""

    def rule(site: Site, values: Values) -> Value:
        site.ledger.same(values, what, site.at)
        return PURE_VALUE.but(measured=measured(values))

    return rule


def extreme(*, lower: bool) -> One:
    """Maximum (a lower bound) or minimum (an upper bound)."""

    def rule(site: Site, values: Values) -> Value:
        units = site.ledger.bounded(
            values, "takes the larger of" if lower else "takes the smaller of", site.at, lower=lower
        )
        signs = [v.nonnegative for v in values]
        nonnegative = any(signs) if lower else all(signs)
        at_zero = any(v.is_zero for v in values) and not (lower and all(signs))
        return Value(units, None, nonnegative, measured(values), at_zero or any(v.often_zero for v in values))

    return rule


def clamp(site: Site, values: Values) -> Value:
    """Lower bound, operand, upper bound."""
    low, x, high = values
    return extreme(lower=False)(site, [extreme(lower=True)(site, [x, low]), high])


def join(what: str, operands: slice = slice(None)) -> One:
    """Values put side by side in one array share one unit."""

    def rule(site: Site, values: Values) -> Value:
        parts = values[operands]
        units = site.ledger.same(parts, what, site.at)
        return Value(
            units,
            0.0 if all(v.is_zero for v in parts) else None,
            all(v.nonnegative for v in parts),
            measured(parts),
            any(v.often_zero or v.is_zero for v in parts),
        )

    return rule


def select(site: Site, values: Values) -> Value:
    """A choice, element by element: one unit for all cases, unless one case is only taken for degenerate input."""
    predicate, *cases = values
    if predicate.constant is not None:
        return cases[int(predicate.constant)]
    if len(cases) == 2:
        chosen = site.ledger.choice(predicate, cases[0], cases[1], "chooses between", site.at)
    else:
        chosen = Value(site.ledger.same(cases, "chooses between", site.at))
    constants = {v.constant for v in cases}
    usual = [v for outcome, v in enumerate(cases) if predicate.rare is None or bool(outcome) != predicate.rare.outcome]
    kept = [
        d
        for outcome, case in enumerate(cases)
        for d in case.deferred
        if d.choice != predicate.identity or d.outcome == bool(outcome)
    ]
    return chosen.but(
        constant=constants.pop() if len(constants) == 1 else None,
        nonnegative=all(v.nonnegative for v in cases),
        measured=measured(values),
        often_zero=any(v.often_zero or v.is_zero for v in usual),
        deferred=(*predicate.deferred, *kept, *chosen.deferred),
    )


def compare(name: str) -> One:
    """Two comparable values; the truth of it is pure."""

    def rule(site: Site, values: Values) -> Value:
        if site.squares and name in ("eq", "ne"):
            rare: Rare | None = Rare(name == "ne", "a tested value is nan")
        else:
            rare = site.ledger.comparison(name, values[0], values[1], site.at)
        return PURE_VALUE.but(measured=measured(values), rare=rare, often_zero=True)

    return rule


def logical(rare_when: bool) -> One:
    """``or`` (True if either is) and ``and`` (False if either is), of truth values or, bit by bit, of integers."""

    def rule(site: Site, values: Values) -> Value:
        rares = [v.rare for v in values if v.rare is not None]
        kept = None
        if len(rares) == len(values) and len({r.outcome for r in rares}) == 1:
            texts = dict.fromkeys(r.condition for r in rares)
            thresholds = [r.threshold for r in rares if r.threshold is not None]
            kept = Rare(rares[0].outcome, " or ".join(texts), max(thresholds, default=None))
        else:  # one rare operand is enough where it forces the outcome: rare and anything, anything or never-rare
            kept = next((r for r in rares if r.outcome is not rare_when), None)
        return PURE_VALUE.but(measured=measured(values), rare=kept, often_zero=True)

    return rule


def logical_not(site: Site, values: Values) -> Value:
    """The other outcome is the rare one."""
    rare = values[0].rare
    flipped = None if rare is None else Rare(not rare.outcome, rare.condition, rare.threshold)
    return PURE_VALUE.but(measured=values[0].measured, rare=flipped, often_zero=True)


def convert(site: Site, values: Values) -> Value:
    """A change of dtype is none of units between floats; rounding to an integer wants a pure number."""
    (value,) = values
    dtype = np.dtype(site.params["new_dtype"]) if site.params["new_dtype"] is not None else None
    if dtype is not None and dtype.kind in "iu" and site.eqn.invars[0].aval.dtype.kind not in "iub":
        site.ledger.pure(value, "rounds", site.at)
        if value.constant is not None and math.isfinite(value.constant):
            return number(math.trunc(value.constant))
        return value.but(identity=None, often_zero=True)
    if dtype is not None and dtype.kind == "b" and site.eqn.invars[0].aval.dtype.kind not in "iub":
        return PURE_VALUE.but(measured=value.measured)
    return value


def gather(site: Site, values: Values) -> Value:
    """Entries picked by index; a filling for indices outside is one more value."""
    filling = site.params.get("fill_value")
    parts = [values[0]] if filling is None else [values[0], number(float(filling))]
    return keep(site, values).but(units=site.ledger.same(parts, "fills gaps with", site.at))


def product_of_all(site: Site, values: Values) -> Value:
    """A product over axes: units times the number of factors."""
    shape = site.eqn.invars[0].aval.shape
    factors = math.prod(shape[axis] for axis in site.params["axes"])
    return Value(site.ledger.power(values[0], factors), None, values[0].nonnegative, values[0].measured)


def triangular_solve(site: Site, values: Values) -> Value:
    """``x`` in ``a x = b``: units of b over those of a, or of b alone where the diagonal is taken as 1."""
    a, b = values
    if site.params["unit_diagonal"]:
        site.ledger.pure(a, "takes as a matrix with ones on its diagonal", site.at)
    return Value(site.ledger.quotient(b, a), None, False, measured(values))
