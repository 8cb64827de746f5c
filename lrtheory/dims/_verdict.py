"""From equations to what the user is told: solve, tell footnotes from breaks, name the lines to blame, and read the units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..units import PARAM, PURE, Units
from ._kernel.equations import Equation, Guard, Location
from ._kernel.expression import Expression
from ._kernel.ledger import HUGE, TINY, Ledger
from ._kernel.solver import Contradiction, Solver
from .dimensions import Break, ChainLink, Dimensions, GuardFound


@dataclass
class Solved:
    """The solved system, and what is wrong with the program."""

    solver: Solver
    breaks: list[Break]
    guards: list[GuardFound]
    involved: set[int]
    """The unknowns that the contradictions are about."""


# A law is tried in numbers where the loss or the parameters, or both, are so much larger or smaller, and on gradients of
# these sizes: small ones show what an eps does.
SCALES = [(a, c) for a in (1.0, 256.0, 1 / 256) for c in (1.0, 256.0, 1 / 256) if (a, c) != (1.0, 1.0)]
SIZES = (1.0, 1e-8)
# Further: a bare number beside parameters or beside a loss may act only where those are very small, or very large.
FAR = [(x, 1.0) for x in (2.0**-32, 2.0**32)] + [(1.0, x) for x in (2.0**-32, 2.0**32)]
# Where a bound may guard what is small: gradients or parameters are larger, and neither is smaller.
LARGER = [(2.0**32, 1.0), (2.0**32, 2.0**32)]


def trials(found: Dimensions) -> list[tuple[float, list[tuple[float, float]]]]:
    """Sizes of gradients, and the scales of loss and parameters at which a law is tried with them."""
    bounded = any(guard.threshold is not None for guard in found.guards)
    return [(1.0, [*SCALES, *LARGER])] if bounded else [(1.0, [*SCALES, *FAR]), (SIZES[1], SCALES)]


def disagreement(loss: float, params: float, size: float, what: str, apart: float) -> str:
    """What is said where numbers do not obey the units that were inferred."""
    scale = " and ".join(
        f"the {name} {'times' if factor > 1 else 'over'} {max(factor, 1 / factor):g}"
        for name, factor in (("loss", loss), ("parameters", params))
        if factor != 1
    )
    small = "" if size == 1 else f", gradients of {size:g}"
    return f"numbers do not obey these units: with {scale}{small}, {what} is off by {apart:.1g} of its travel"


@dataclass
class Walked:
    """What came of one reading of a program, the numbers that are exponents, and those that contradictions are about."""

    found: Dimensions
    exponents: set[str] = field(default_factory=set)
    involved: set[str] = field(default_factory=set)


def settled(read: Callable[[Mapping[str, str]], Walked], zeros: set[str]) -> Dimensions:
    """The verdict where no number is held or, if that is broken, where as few are held as make a law.

    A number in an exponent of something that is not pure allows no law while it may vary, and one that is 0 may allow
    none for other values. ``read`` takes the names of the numbers to hold, and why, which the notes then say.
    """
    first = read({})
    if first.found.status != "broken":
        return first.found
    wanted, otherwise = zeros & first.involved, first.found.verdict

    def why(name: str) -> str:
        return "it is an exponent" if name in first.exponents else f"no law holds for other values ({otherwise})"

    for names in (first.exponents, wanted, first.exponents | wanted, first.exponents | zeros):
        held = {name: why(name) for name in sorted(names & set(first.found.hyper))}
        best = read(held).found if held else first.found
        if best.status == "broken":
            continue
        for name in list(held):  # hold no more than it takes
            fewer = {other: held[other] for other in held if other != name}
            if fewer and (found := read(fewer).found).status != "broken":
                held, best = fewer, found
        off = sorted(set(held) - first.exponents)
        return replace(best, proviso=f"while {' and '.join(off)} is 0, {otherwise} otherwise") if off else best
    return first.found


def diagnose(ledger: Ledger, held: Mapping[str, float] | None = None) -> Solved:
    """Solve the ledger. ``held`` names the numbers that were not traced, to call a bare number by its name."""
    hard = [number for number, e in enumerate(ledger.equations) if e.guard is None]
    solver, contradictions = _solve(ledger, hard)
    involved: set[int] = set()
    lines = {number: _line(ledger.equations[number], number) for number in hard} if contradictions else {}
    blamed: list[set[int]] = []
    while contradictions:
        blamed.append(_blame(ledger, hard, lines, contradictions))
        involved |= _unknowns(ledger, contradictions[0].equations)
        hard = [n for n in hard if n not in blamed[-1]]
        solver, contradictions = _solve(ledger, hard)
    breaks: list[Break] = []
    for group in reversed(blamed):  # what else stands on a blamed line may well be right, and still holds
        rest = sorted(group, key=lambda n: (ledger.equations[n].literal is not None, n))
        found = [c for n in rest if (c := solver.add(n, ledger.equations[n].difference)) is not None]
        if found:
            breaks.insert(0, _break(ledger, solver, found, group, held, set().union(*blamed)))

    guards: dict[GuardFound, None] = {}
    lines_broken: set[object] = set()
    for number, equation in enumerate(ledger.equations):
        if equation.guard is None:
            continue
        residual, _ = solver.residual(equation.difference)
        if residual.is_pure:
            continue
        if _is_footnote(equation.guard, residual):
            guard = equation.guard
            guards[GuardFound(equation.origin.location(), guard.condition, residual, guard.threshold)] = None
        elif (line := _line(equation, number)) not in lines_broken:
            lines_broken.add(line)
            chain = (*solver.sources(equation.difference), number)
            involved |= _unknowns(ledger, chain)
            breaks.append(_break(ledger, solver, [Contradiction(chain, residual)], {number}, held, {number}))
    return Solved(solver, breaks, list(guards), involved)


def _solve(ledger: Ledger, numbers: Sequence[int]) -> tuple[Solver, list[Contradiction]]:
    solver = Solver(priority=ledger.priorities.__getitem__)
    added = ((number, solver.add(number, ledger.equations[number].difference)) for number in numbers)
    return solver, [contradiction for _, contradiction in added if contradiction is not None]


def _unknowns(ledger: Ledger, equations: Iterable[int]) -> set[int]:
    return {n for number in equations for n, _ in ledger.equations[number].difference.terms}


def _blame(ledger: Ledger, hard: Sequence[int], line_of: Mapping[int, object], found: list[Contradiction]) -> set[int]:
    """The line without which fewest contradictions remain; of several, one with an odd bare number, and then the last.

    Something must go from the first contradiction in any case, so the choice is among its lines.
    """
    lines: dict[object, set[int]] = {}
    for number in hard:
        lines.setdefault(line_of[number], set()).add(number)

    def demerits(number: int) -> tuple[int, bool, int, int]:
        equation = ledger.equations[number]
        without = lines[line_of[number]]
        remaining = len(_solve(ledger, [n for n in hard if n not in without])[1])
        return remaining, equation.origin.location() is None, _innocence(equation.literal), -number

    return lines[line_of[min(found[0].equations, key=demerits)]]


def _innocence(literal: float | None) -> int:
    """How unlikely a bare number is to stand for a quantity: 1 − β and 2·x are no slips, a small one is an eps."""
    if literal is None or abs(literal) in (0.5, 1.0, 2.0):
        return 2
    return int(abs(literal) >= 0.01)


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
    ledger: Ledger,
    solver: Solver,
    found: Sequence[Contradiction],
    blamed: set[int],
    held: Mapping[str, float] | None,
    guilty: set[int],
) -> Break:
    number = max(blamed.intersection(found[0].equations), default=found[0].equations[-1])
    equation = ledger.equations[number]
    chain = tuple(
        ChainLink(ledger.equations[n].origin.location(), _demand(ledger, ledger.equations[n], held))
        for n in found[0].equations
    )
    left, right = (solver.residual(side)[0] for side in (equation.left, equation.right))
    if equation.literal is not None:
        statement = f"{equation.what} {_bare(equation.literal, held)} and a quantity in {left}"
    elif left == right:
        statement = f"{equation.what} quantities that cannot have one unit"
    else:
        statement = f"{equation.what} a quantity in {left} and one in {right}"
    location = _culprit(ledger, equation.origin.location(), guilty)
    residuals = tuple(dict.fromkeys(c.residual for c in found))
    return Break(location, statement, residuals[0], equation.literal, chain, residuals)


def _culprit(ledger: Ledger, location: Location | None, guilty: set[int]) -> Location | None:
    """The innermost line that is the culprit's alone: a helper that serves others well is called from there."""
    if location is None or not location.callers:
        return location
    own = _frames(location)
    origins = [e.origin for number, e in enumerate(ledger.equations) if number not in guilty]
    places = {place for origin in {*origins, *ledger.fine} if (place := origin.location()) is not None}
    served = [frames for frames in map(_frames, places) if frames[0] == own[0] and frames != own]
    for depth, frame in enumerate((location, *location.callers)):
        served = [frames for frames in served if frames[depth : depth + 1] == own[depth : depth + 1]]
        if not served:
            return frame._replace(callers=location.callers[depth:])
    return location


def _frames(location: Location) -> tuple[tuple[str, int], ...]:
    return tuple((frame.file, frame.line) for frame in (location, *location.callers))


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
    diagnosis: Solved,
    hyper: Mapping[str, Expression],
    state: Mapping[str, Expression],
    paths: Iterable[str],  # all numeric state in order; what is not in ``state`` is pure
    leaf_names: Sequence[str],  # of the parameters, with which the paths of their slots end
    update: Units = PARAM,
    notes: Sequence[str] = (),
) -> Dimensions:
    """Read the solution, given the unknowns of hyperparameters by name and of state by path."""
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
