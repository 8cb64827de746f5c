"""From the equations of a loss to its symmetries: the null space, in a basis that can be read.

All equations are homogeneous, since tensors have unknown units and everything else is pure. Those of guards are left
out at first: what satisfies the rest is a symmetry up to the guards, and exact if it satisfies them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from .._kernel.equations import Equation, Origin
from .._kernel.expression import Expression
from .._kernel.ledger import Ledger
from .._kernel.solver import Solver
from .generator import Generator, Guard
from .result import Fixed, Symmetries, Unknown

Vector = dict[int, Fraction]
#: From bare numbers by line, the smallest and the typical size of what each protects.
Sizes = Callable[[Mapping[Origin, float]], Mapping[Origin, tuple[float, float]]]


def solve(ledger: Ledger, tensors: Mapping[str, Expression], sizes: Sizes, notes: Sequence[str] = ()) -> Symmetries:
    """Read the symmetries from a ledger in which each tensor has its unknown."""
    number = {name: unknown.terms[0][0] for name, unknown in tensors.items() if name in ledger.read}
    name_of = {n: name for name, n in number.items()}
    full = Solver(priority=ledger.priorities.__getitem__)
    for at, e in enumerate(ledger.equations):
        if e.guard is None:
            full.add(at, e.difference)
    guarding = [e for e in ledger.equations if e.guard is not None and e.guard.threshold is not None]
    residuals = [_residual(full, e, name_of) for e in guarding]
    acting = [(e, residual) for e, residual in zip(guarding, residuals, strict=True) if residual]

    order = {n: at for at, n in enumerate(number.values())}

    def readable(space: Sequence[Vector]) -> list[Vector]:
        return sorted((_whole(v, order) for v in _sparse(space)), key=lambda v: min(order[n] for n in v))

    basis = readable(_null_space(full, number.values()))
    used = {e.origin: e.guard.threshold or 0.0 for e, r in acting if e.guard and any(_dot(r, v) for v in basis)}
    seen = sizes(used) if used else {}
    guards = {id(e): _guard(e, seen) for e, _ in acting if e.origin in used}

    def generator(v: Vector) -> Generator:
        return Generator(
            {name_of[n]: v[n] for n in sorted(v, key=order.__getitem__)},
            {guards[id(e)]: power for e, r in acting if (power := _dot(r, v))},
        )

    generators = tuple(map(generator, basis))
    exact = tuple(map(generator, readable(_kernel(basis, [r for _, r in acting])))) if used else generators
    scaled = {name for generator in generators for name in generator}
    return Symmetries(
        tensors=tuple(tensors),
        generators=generators,
        exact=exact,
        invariant=tuple(name for name, n in number.items() if not _independent(basis, {n: Fraction(1)})),
        fixed={name: _fixed(ledger, full, tensors[name]) for name in number if name not in scaled},
        unread=tuple(name for name in tensors if name not in number),
        guards=tuple(dict.fromkeys(guards.values())),
        unknown=tuple(dict.fromkeys(Unknown(name, at.location()) for name, at in ledger.strange)),
        notes=tuple(notes),
    )


def _residual(solver: Solver, equation: Equation, name_of: Mapping[int, str]) -> Vector:
    """What a generator must be orthogonal to, to obey an equation."""
    found: Vector = {}
    for n, multiple in equation.difference.terms:
        for other, factor in solver.tied_to(n):
            if other in name_of:
                found[other] = found.get(other, Fraction(0)) + multiple * factor
    return {n: x for n, x in found.items() if x}


def _null_space(solver: Solver, unknowns: Iterable[int]) -> list[Vector]:
    """One vector for each tensor that is free: it, and those that depend on it."""
    vectors: dict[int, Vector] = {}
    for n in unknowns:
        for free, multiple in solver.tied_to(n):
            vectors.setdefault(free, {})[n] = multiple
    return list(vectors.values())


def _dot(left: Vector, right: Vector) -> Fraction:
    return sum((x * right[n] for n, x in left.items() if n in right), Fraction(0))


def _minus(left: Vector, right: Vector, factor: Fraction) -> Vector:
    result = dict(left)
    for n, x in right.items():
        total = result.get(n, Fraction(0)) - factor * x
        if total:
            result[n] = total
        else:
            result.pop(n, None)
    return result


def _kernel(basis: Sequence[Vector], conditions: Sequence[Vector]) -> list[Vector]:
    """The vectors of a space that are orthogonal to all of the conditions."""
    space = list(basis)
    for condition in conditions:
        values = [_dot(condition, v) for v in space]
        pivot = next((at for at, value in enumerate(values) if value), None)
        if pivot is None:
            continue
        lead = space[pivot]
        space = [
            _minus(v, lead, x / values[pivot])
            for at, (v, x) in enumerate(zip(space, values, strict=True))
            if at != pivot
        ]
    return space


def _independent(basis: Sequence[Vector], vector: Vector) -> bool:
    reduced: dict[int, Vector] = {}
    for v in (*basis, vector):
        for pivot, row in reduced.items():
            if pivot in v:
                v = _minus(v, row, v[pivot] / row[pivot])
        if v:
            reduced[next(iter(v))] = v
    return len(reduced) == len(basis) + 1


def _sparse(basis: Sequence[Vector]) -> list[Vector]:
    """A basis of the same space with fewer tensors in each vector: others are subtracted as long as that helps."""
    space = list(basis)
    changed = True
    while changed:
        changed = False
        for at in range(len(space)):
            for other in range(len(space)):
                if other == at:
                    continue
                for n in set(space[at]) & set(space[other]):
                    lighter = _minus(space[at], space[other], space[at].get(n, Fraction(0)) / space[other][n])
                    if len(lighter) < len(space[at]):
                        space[at], changed = lighter, True
    return space


def _whole(vector: Vector, order: Mapping[int, int]) -> Vector:
    """The smallest whole exponents, the first of them positive."""
    scale = Fraction(
        math.lcm(*(x.denominator for x in vector.values())), math.gcd(*(x.numerator for x in vector.values()))
    )
    first = vector[min(vector, key=order.__getitem__)]
    return {n: x * scale * (1 if first > 0 else -1) for n, x in vector.items()}


def _guard(equation: Equation, sizes: Mapping[Origin, tuple[float, float]]) -> Guard:
    assert equation.guard is not None
    assert equation.guard.threshold is not None
    eps, smallest, typical = (
        None if x is None else float(f"{x:.3g}")
        for x in (equation.guard.threshold, *sizes.get(equation.origin, (None, None)))
    )
    assert eps is not None
    return Guard(equation.origin.location(), equation.guard.condition, eps, smallest, typical)


def _fixed(ledger: Ledger, solver: Solver, unknown: Expression) -> Fixed:
    """The line that demands a pure number; of several, one that speaks of the tensor itself."""
    sources = [ledger.equations[n] for n in solver.sources(unknown)]
    pure = [e for e in sources if not e.left.terms or not e.right.terms]
    own = [e for e in pure if any(n == unknown.terms[0][0] for n, _ in e.difference.terms)]
    found = next((e for e in reversed(own or pure or sources) if e.origin.location() is not None), sources[-1])
    sides = [side.show(ledger.names.__getitem__) for side in (found.left, found.right) if side.terms]
    what = sides[0] if len(sides[0]) <= 80 else "a product of tensors"
    if found.literal is not None:
        return Fixed(found.origin.location(), f"{found.what} {what} and the bare number {found.literal:.6g}")
    if found.left.terms and found.what.endswith("of"):
        return Fixed(found.origin.location(), f"{found.what} {what}")
    return Fixed(found.origin.location(), f"{found.what} {what} and a pure number")
