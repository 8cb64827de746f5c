"""The solver: exact, and a contradiction is shown by an irreducible set of equations."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrtheory.dims._kernel.expression import Expression
from lrtheory.dims._kernel.solver import Solver
from lrtheory.units import GRADIENT, LOSS, PARAM, PURE, Units

UNKNOWNS = 4
fractions = st.fractions(-3, 3, max_denominator=3)
units = st.builds(Units, fractions, fractions)


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    multiples = draw(st.dictionaries(st.integers(0, UNKNOWNS - 1), fractions.filter(bool), max_size=3))
    return Expression(draw(units), tuple(sorted(multiples.items())))


def contradictions(rows: list[Expression]) -> list:
    solver = Solver()
    return [c for i, row in enumerate(rows) if (c := solver.add(i, row)) is not None]


def value(row: Expression, solution: list[Units]) -> Units:
    total = row.known
    for number, multiple in row.terms:
        total = total.times(solution[number].power(multiple))
    return total


@given(st.lists(units, min_size=UNKNOWNS, max_size=UNKNOWNS), st.lists(expressions(), max_size=8))
def test_solver_accepts_every_equation_that_one_solution_obeys(solution, rows):
    # Shift each row's constant so that the chosen solution obeys it.
    rows = [row._replace(known=row.known.times(value(row, solution).power(-1))) for row in rows]
    solver = Solver()
    assert [solver.add(i, row) for i, row in enumerate(rows)] == [None] * len(rows)
    found = [solver.value(n) for n in range(UNKNOWNS)]
    for row in rows:
        assert value(row, found).is_pure
        assert solver.residual(row) == (PURE, False)


@given(st.lists(expressions(), min_size=1, max_size=9))
def test_contradiction_is_irreducible(rows):
    for contradiction in contradictions(rows):
        chosen = [rows[n] for n in contradiction.equations]
        assert contradictions(chosen), "the equations named do agree"
        for left_out in range(len(chosen)):
            assert not contradictions(chosen[:left_out] + chosen[left_out + 1 :])


def test_free_unknowns_are_told_from_determined_ones():
    x, y, z = (Expression.unknown(n) for n in range(3))
    solver = Solver(priority=lambda n: {0: 1}.get(n, 0))
    assert solver.add(0, x.times(y).over(Expression(LOSS))) is None
    assert solver.add(1, z.over(Expression(PARAM))) is None
    assert solver.tied_to(2) == ()
    assert solver.tied_to(1) == ((1, 1),), "free: the equation determines the unknown of higher priority"
    assert solver.tied_to(0) == ((1, -1),)
    assert (solver.value(0), solver.value(1), solver.value(2)) == (LOSS, PURE, PARAM)


def test_residual_says_what_the_sides_are_apart():
    x = Expression.unknown(0)
    solver = Solver()
    solver.add(0, x.over(Expression(GRADIENT)))
    contradiction = solver.add(1, x.power(2))
    assert contradiction is not None
    assert contradiction.equations == (0, 1)
    assert contradiction.residual == GRADIENT.power(2)


@pytest.mark.parametrize("exponent", [Fraction(1, 2), Fraction(-1, 3), 2])
def test_power_and_root_undo_each_other(exponent):
    expression = Expression(GRADIENT, ((0, Fraction(2)), (3, Fraction(-1, 2))))
    assert expression.power(exponent).power(1 / Fraction(exponent)) == expression
    assert expression.over(expression) == Expression(PURE)
