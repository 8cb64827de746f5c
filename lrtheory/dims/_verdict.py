"""From equations to what the user is told: solve, tell footnotes from breaks, name the lines to blame, and read the units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..units import PARAM, PURE, Units
from ._kernel.equations import Equation, Guard, Location
from ._kernel.expression import Expression
from ._kernel.ledger import HUGE, TINY, Ledger
from ._kernel.solver import Contradiction, Solver
from .dimensions import Break, ChainLink, Dimensions, GuardFound


@dataclass
class Diagnosis:
    """The solved system, and what is wrong with the program."""

    solver: Solver
    breaks: list[Break]
    guards: list[GuardFound]
    involved: set[int]
    """The unknowns that the contradictions are about."""


def diagnose(ledger: Ledger, held: Mapping[str, float] | None = None) -> Diagnosis:
    """Solve the ledger. ``held`` names the numbers that were not traced, to call a bare number by its name."""
    hard = [number for number, e in enumerate(ledger.equations) if e.guard is None]
    solver, contradictions = _solve(ledger, hard)
    breaks = []
    involved: set[int] = set()
    lines = {number: _line(ledger.equations[number], number) for number in hard} if contradictions else {}
    while contradictions:
        blamed, found = _blame(ledger, hard, lines, contradictions)
        involved |= {n for number in found.equations for n, _ in ledger.equations[number].difference.terms}
        breaks.append(_break(ledger, _solve(ledger, [n for n in hard if n not in blamed])[0], found, blamed, held))
        hard = [n for n in hard if n not in blamed]
        solver, contradictions = _solve(ledger, hard)

    guards = []
    for number, equation in enumerate(ledger.equations):
        if equation.guard is None:
            continue
        residual, _ = solver.residual(equation.difference)
        if residual.is_pure:
            continue
        if _is_footnote(equation.guard, residual):
            guards.append(GuardFound(equation.origin.location(), equation.guard.condition, residual))
        else:
            chain = (*solver.sources(equation.difference), number)
            involved |= {n for source in chain for n, _ in ledger.equations[source].difference.terms}
            breaks.append(_break(ledger, solver, Contradiction(chain, residual), {number}, held))
    return Diagnosis(solver, breaks, guards, involved)


def _solve(ledger: Ledger, numbers: Sequence[int]) -> tuple[Solver, list[Contradiction]]:
    solver = Solver(priority=ledger.priorities.__getitem__)
    added = ((number, solver.add(number, ledger.equations[number].difference)) for number in numbers)
    return solver, [contradiction for _, contradiction in added if contradiction is not None]


def _blame(
    ledger: Ledger, hard: Sequence[int], line_of: Mapping[int, object], found: list[Contradiction]
) -> tuple[set[int], Contradiction]:
    """The line without which fewest contradictions remain; of several, one with an odd bare number, and then the last.

    Something must go from the first contradiction in any case, so the choice is among its lines.
    """
    lines: dict[object, set[int]] = {}
    for number in hard:
        lines.setdefault(line_of[number], set()).add(number)

    def demerits(number: int) -> tuple[int, bool, bool, int]:
        equation = ledger.equations[number]
        without = lines[line_of[number]]
        remaining = len(_solve(ledger, [n for n in hard if n not in without])[1])
        return remaining, equation.origin.location() is None, not _suspicious(equation.literal), -number

    worst = min(found[0].equations, key=demerits)
    return lines[line_of[worst]], found[0]


def _suspicious(literal: float | None) -> bool:
    """Whether a bare number may stand for a quantity: 1 − β and 2·x are no slips."""
    return literal is not None and abs(literal) not in (0.5, 1.0, 2.0)


def _line(equation: Equation, number: int) -> object:
    location = equation.origin.location()
    return (location.file, location.line, location.callers[:1]) if location else number


def _is_footnote(guard: Guard, residual: Units) -> bool:
    """Whether a guard only acts far from ordinary magnitudes, per power of [loss] or [param]."""
    if guard.threshold is None:
        return True
    size = guard.threshold ** (1 / float(max(abs(residual.loss), abs(residual.param))))
    return size <= TINY or size >= HUGE


def _break(
    ledger: Ledger, solver: Solver, found: Contradiction, blamed: set[int], held: Mapping[str, float] | None
) -> Break:
    number = max(blamed.intersection(found.equations), default=found.equations[-1])
    equation = ledger.equations[number]
    chain = tuple(
        ChainLink(ledger.equations[n].origin.location(), _demand(ledger, ledger.equations[n], held))
        for n in found.equations
    )
    left, right = (solver.residual(side)[0] for side in (equation.left, equation.right))
    location: Location | None = equation.origin.location()
    if equation.literal is not None:
        statement = f"{equation.what} {_bare(equation.literal, held)} and a quantity in {left}"
    elif left == right:
        statement = f"{equation.what} quantities that cannot have one unit"
    else:
        statement = f"{equation.what} a quantity in {left} and one in {right}"
    return Break(location, statement, found.residual, equation.literal, chain)


def _demand(ledger: Ledger, equation: Equation, held: Mapping[str, float] | None) -> str:
    left = equation.left.show(ledger.names.__getitem__)
    if equation.literal is not None:
        return f"{equation.what} {_bare(equation.literal, held)} and {left}"
    return f"{equation.what} {left} and {equation.right.show(ledger.names.__getitem__)}"


def _bare(literal: float, held: Mapping[str, float] | None) -> str:
    for name, value in (held or {}).items():
        if value and abs(literal - value) <= 1e-6 * abs(value):
            return f"the bare number {literal:.6g} (the {name} that was not passed)"
    return f"the bare number {literal:.6g}"


def dimensions(
    target: str,
    ledger: Ledger,
    diagnosis: Diagnosis,
    hyper: Mapping[str, Expression],
    state: Mapping[str, Expression],
    paths: Iterable[str],
    leaf_names: Sequence[str],
    update: Units = PARAM,
    notes: Sequence[str] = (),
) -> Dimensions:
    """Read the solution.

    Parameters
    ----------
    hyper, state : the unknowns by name and by path
    paths : all numeric state in order; what is not in ``state`` is pure
    leaf_names : names of the parameters, with which the paths of their slots end
    """
    solver = diagnosis.solver
    units: dict[str, Units] = {}
    free: set[str] = set()
    ties: dict[str, str] = {}
    for name, unknown in {**hyper, **state}.items():
        number = unknown.terms[0][0]
        units[name] = solver.value(number)
        tied = solver.tied_to(number)
        if tied == ((number, 1),):
            free.add(name)
        elif tied:
            ties[name] = Expression(units[name], tied).show(ledger.names.__getitem__)
    slots, free_slots, tied_slots = _collapsed({p: units.get(p, PURE) for p in paths}, free, ties, leaf_names)
    return Dimensions(
        target=target,
        hyper={name: units[name] for name in hyper},
        state=slots,
        free=frozenset({n for n in free if n in hyper} | free_slots),
        ties={**{n: t for n, t in ties.items() if n in hyper}, **tied_slots},
        update=update,
        breaks=tuple(diagnosis.breaks),
        guards=tuple(diagnosis.guards),
        notes=tuple(notes),
    )


def _collapsed(
    units: Mapping[str, Units], free: set[str], ties: Mapping[str, str], leaf_names: Sequence[str]
) -> tuple[dict[str, Units], set[str], dict[str, str]]:
    """State by path, with the entries of one slot for each parameter under one path where they agree."""
    groups: dict[str, list[str]] = {}
    for path in units:
        suffix = next((f".{name}" for name in leaf_names if path.endswith(f".{name}")), "")
        groups.setdefault(path.removesuffix(suffix), []).append(path)
    result: dict[str, Units] = {}
    new_free: set[str] = set()
    new_ties: dict[str, str] = {}
    for slot, paths in groups.items():
        determined = [p for p in paths if p not in free] or paths[:1]
        agree = len({(units[p], ties.get(p)) for p in determined}) == 1
        for name, path in [(slot, determined[0])] if agree else [(p, p) for p in paths]:
            result[name] = units[path]
            if path in free:
                new_free.add(name)
            if path in ties:
                new_ties[name] = ties[path]
    return result, new_free, new_ties
