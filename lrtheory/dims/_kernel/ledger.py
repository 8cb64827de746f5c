"""The operations on units that every reader shares, and the book of equations that they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .equations import Demand, Equation, Guard, Origin
from .expression import PURE_EXPRESSION, Expression
from .value import Deferred, Rare, Value

# Bare numbers this small protect against zero, this large against infinity; in between they act on ordinary values.
TINY, HUGE = 1e-12, 1e12

# What determines what: an unknown inside the program first, state next, then hyperparameters, lr before the others,
# so that what stays free is a hyperparameter that may as well be a pure number.
INTERNAL, STATE, LEARNING_RATE, HYPER = 3, 2, 1, 0


class Ledger:
    """Unknown units by name, and the equations between them in the order of the program.

    ``protecting`` is the largest bare number that, beside a value that is never negative, only protects it from zero.
    With ``lenient`` an operation that no table has is noted in ``strange`` and taken for any function of pure numbers.
    """

    def __init__(self, *, protecting: float = TINY, lenient: bool = False) -> None:
        self.protecting, self.lenient = protecting, lenient
        self.strange: dict[tuple[str, Origin], None] = {}
        self.read: set[str] = set()  # names of the inputs that an operation has taken
        self.names: list[str] = []
        self.priorities: list[int] = []
        self.equations: list[Equation] = []
        self.exponents: set[str] = set()  # names of the numbers that stand in an exponent
        self.checking = False  # while a constructor runs: its comparisons of numbers are checks of ranges
        self.ways: dict[Origin, set[bool]] = {}  # how comparisons of data came out that Python went by
        self.fine: list[Origin] = []  # lines whose demands hold whatever the units are
        self._seen: set[object] = set()
        self._identities: dict[object, int] = {}
        self.uniform: set[object] = set()  # identities of values that are one number for all entries

    def unknown(self, name: str, priority: int = INTERNAL) -> Expression:
        """A new unknown."""
        self.names.append(name)
        self.priorities.append(priority)
        return Expression.unknown(len(self.names) - 1)

    def identity(self, key: object) -> object:
        """One number for one way of computing a value, so that what a program computes twice is known to be the same."""
        try:
            return self._identities.setdefault(key, len(self._identities))
        except TypeError:  # a parameter that cannot be compared
            return object()

    def demand(
        self,
        left: Expression,
        right: Expression,
        what: str,
        origin: Origin | None = None,
        literal: float | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Write down that two expressions have one unit; what holds anyway, or is repeated in a loop, is left out."""
        if left == right:
            if origin is not None:
                self.fine.append(origin)
            return
        key = (left, right, what, literal, guard, origin)
        if key in self._seen:
            return
        self._seen.add(key)
        self.equations.append(Equation(left, right, what, origin or Demand(), literal, guard))

    # --- operations: each takes values and a line, and gives the value of the result ---

    def same(self, values: Sequence[Value], what: str, at: Origin, guard: Rare | None = None) -> Expression | None:
        """Units that all values share: those of the first that is not a bare number."""
        with_units = [v for v in values if v.units is not None]
        if not with_units:
            return None
        lead = next((v for v in with_units if v.constant is None), with_units[0])
        for v in with_units:
            if v is not lead:
                self._equate(lead, v, what, at, guard)
        return lead.units

    def _equate(self, lead: Value, other: Value, what: str, at: Origin, rare: Rare | None) -> None:
        guard = None if rare is None else Guard(rare.condition, rare.threshold)
        self.demand(lead.or_pure, other.or_pure, what, at, other.constant, guard)

    def bounded(self, values: Sequence[Value], what: str, at: Origin, *, lower: bool) -> Expression | None:
        """Units of a maximum (``lower``) or minimum: a bare number far from ordinary values only guards."""
        with_units = [v for v in values if v.units is not None]
        if not with_units:
            return None
        lead = next((v for v in with_units if v.constant is None), with_units[0])
        for v in with_units:
            if v is not lead and not (lower and _is_below(v, lead)):
                rare = _bound(v.constant, lower, self._tiny(lead)) if lead.constant is None else None
                self._equate(lead, v, what, at, rare)
        return lead.units

    def sum(self, values: Sequence[Value], what: str, at: Origin) -> Expression | None:
        """Units of a sum: a bare number far below ordinary values is lost in rounding and only guards."""
        with_units = [v for v in values if v.units is not None]
        if len(with_units) == 2:
            small = next((v for v in with_units if v.constant is not None), None)
            lead = next((v for v in with_units if v.constant is None), None)
            if lead is not None and small is not None and abs(small.constant or 0) <= self._tiny(lead):
                size = abs(small.constant or 0)
                self._equate(lead, small, what, at, Rare(True, f"a value is not far above {size:g}", size))
                return lead.units
        return self.same(values, what, at)

    def _tiny(self, value: Value) -> float:
        return self.protecting if value.nonnegative else TINY

    def product(self, left: Value, right: Value) -> Expression | None:
        """Units of a product; zero times anything is zero."""
        if left.units is None or right.units is None:
            return None
        return left.units.times(right.units)

    def quotient(self, left: Value, right: Value) -> Expression | None:
        """Units of a quotient."""
        if left.units is None:
            return None
        return left.units.over(right.or_pure)

    def power(self, base: Value, exponent: Fraction | int) -> Expression | None:
        """Units of a known power."""
        if base.units is None:
            return PURE_EXPRESSION if exponent == 0 else None
        return base.units.power(exponent)

    def pure(self, value: Value, what: str, at: Origin) -> Expression:
        """Demand a pure number."""
        if value.units is not None:
            self.demand(value.units, PURE_EXPRESSION, what, at)
        return PURE_EXPRESSION

    def choice(self, predicate: Value, when_false: Value, when_true: Value, what: str, at: Origin) -> Value:
        """A choice between two values; one that is only taken for degenerate input need not fit.

        A bare number put in the place of ``x`` counts once it comes out: its demand is deferred.
        """
        rare = predicate.rare
        cases = {False: when_false, True: when_true}
        bare = [outcome for outcome, v in cases.items() if v.constant is not None and v.units is not None]
        if rare is not None:
            exception = rare.outcome
        elif len(bare) == 1 and cases[not bare[0]].constant is None and predicate.identity is not None:
            exception = bare[0]
        else:
            return Value(self.same([when_false, when_true], what, at))
        usual, other = cases[not exception], cases[exception]
        if usual.units is None:  # the usual outcome is a bare zero: nothing to protect
            return Value(other.units)
        if other.units is None:
            return Value(usual.units)
        guard = None if rare is None else Guard(rare.condition, rare.threshold)
        demand = (usual.units, other.units, what, at, other.constant, guard)
        if predicate.identity is None or other.constant is None:
            self.demand(*demand)
            return Value(usual.units)
        uniform = predicate.identity in self.uniform
        return Value(usual.units, deferred=(Deferred(predicate.identity, exception, demand, uniform),))

    def settle(self, value: Value) -> None:
        """Write down what was deferred: the value comes out."""
        for deferred in value.deferred:
            self.demand(*deferred.demand)

    def comparison(self, operator: str, left: Value, right: Value, at: Origin) -> Rare | None:
        """Demand comparable values; say whether an outcome is rare, as ``norm == 0`` and ``norm > 0`` are."""
        for value, other, op in ((left, right, operator), (right, left, _MIRRORED[operator])):
            threshold = other.constant
            if _is_below(other, value):
                return None
            if threshold is None or not value.measured or value.often_zero:
                continue
            if threshold == 0:
                return _against_zero(op, value)
            if value.nonnegative and 0 < threshold <= self.protecting and op in ("lt", "le", "gt", "ge"):
                rare = Rare(op in ("lt", "le"), f"a tested value is below {threshold:g}", threshold)
                self._equate(value, other, "compares", at, rare)
                return rare
        self.same([left, right], "compares", at)
        return None


_MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}


def _is_below(bare: Value, value: Value) -> bool:
    """Whether a bare number is negative and the other value is not, as where -1 stands for "none yet"."""
    return bare.constant is not None and bare.constant < 0 and value.nonnegative and value.constant is None


def _against_zero(operator: str, value: Value) -> Rare | None:
    what = f"{value.name or 'a tested value'} is exactly 0"
    if operator in ("eq", "ne"):
        return Rare(operator == "eq", what)
    if value.nonnegative and operator in ("gt", "le"):
        return Rare(operator == "le", what)
    return None


def _bound(constant: float | None, lower: bool, tiny: float) -> Rare | None:
    if constant is None or constant <= 0:
        return None
    if lower and constant <= tiny:
        return Rare(True, f"a value is below {constant:g}", constant)
    if not lower and constant >= HUGE:
        return Rare(True, f"a value is above {constant:g}", constant)
    return None
