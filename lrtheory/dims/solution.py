"""From a solved ledger to what the user is told: units by name, what is free, what is tied to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..units import PARAM, PURE, Units
from .diagnose import Diagnosis
from .dimensions import Dimensions
from .expression import Expression
from .ledger import Ledger


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
