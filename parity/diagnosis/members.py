"""Two implementations as members of a family: the change of settings between the two members, told in the first one's words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lrtheory.spec import SpecError

from .family import Family
from .implementation import Implementation, with_arguments
from .probe import Path, Probe, cycled, distance
from .schedules import ScheduleFamily
from .search import Fit, fit, nearest
from .sides import SAME, Sides, merged, numbers_of
from .told import Change, Diagnosis
from .vocabulary import FAMILIES, phrase


def placed(one: Implementation, other: Implementation) -> Implementation:
    """An implementation of no known family, read as a member of the one that it is put beside or that comes closest."""
    if one.is_known:
        return one
    if other.is_known:
        return replace(one, family=other.words.family)
    if one.name == other.name:  # told apart by their arguments alone
        return replace(one, family="polynomial" if one.is_schedule else "sgd")
    kind = [name for name, family in FAMILIES.items() if isinstance(family, ScheduleFamily) == one.is_schedule]
    return replace(one, family=min(kind, key=lambda name: _typical(one, name)))


def _typical(one: Implementation, name: str) -> float:
    """How far it is from the nearest member of a family with one switch turned."""
    family, as_member = named(FAMILIES[name], one.tensors), replace(one, family=name)
    try:
        numbers = numbers_of(as_member)
        probe = family.probe(numbers)
        return nearest(family, _kept(family, probe, as_member.path(probe)), probe, numbers)
    except (SpecError, ArithmeticError, LookupError, TypeError, ValueError):
        return float("inf")


def named(family: Family, tensors: tuple[str, ...]) -> Family:
    """The family on tensors of these names, if any are asked for."""
    return replace(family, tensors=cycled(tensors, family.tensors)) if tensors else family


def _kept(family: Family, probe: Probe, path: Path) -> Path:
    """What members of the family have: averages where they keep some."""
    return {n: v for n, v in path.items() if family.averaged or n in probe.start or not probe.start}


def fitted(pair: Sides, second: Family) -> Diagnosis:
    """The difference of the two members of a family that run as they do."""
    one, other, family, probe = pair.one, pair.other, pair.family, pair.probe
    if other.words.family != family.name:
        why = pair.without(f": one is of the family of {family.name}, the other of {second.name}")
        return pair.told("unknown", why)
    kept = [_kept(family, probe, path) for path in pair.paths]
    if distance(*kept) <= pair.alike:  # only the averages differ, which no member of the family keeps
        return pair.apart()
    numbers = numbers_of(one)
    if one.is_schedule and not numbers:  # of a stranger, which states none: the nearest to the other's
        numbers = numbers_of(other)
    start = fit(family, kept[0], probe, numbers, family.base)
    numbers = numbers_of(other)
    if other.is_schedule and not numbers:
        numbers = start.numbers
    end = fit(family, kept[1], probe, numbers, start.switches) if start.exact else start
    if not end.exact and pair.size <= family.within:
        return pair.same()
    if not end.exact:
        settings = ", ".join(phrase(name, value) for name, value in end.switches.items() if value != family.base[name])
        odd = other if start.exact else one
        why = f": nothing known runs as {odd.text} does. Nearest is its family with "
        why += f"{settings or 'every switch as torch has it'}, {end.distance:.1e} off"
        return pair.apart(why, end.distance)
    changes = _changes(one, family, start, end, kept[1], probe)
    verified, residual = _verified(one, family, start, changes, kept[1], probe)
    sentence = pair.equal_with(changes)
    if residual > max(SAME, family.tolerance(end.switches)):
        why = pair.without(f": {sentence} says the model, but so it is {residual:.1e} off")
        return pair.told("unknown", why, changes, verified, residual)
    return pair.told("settings", sentence, changes, verified, residual)


def _changes(one: Implementation, family: Family, start: Fit, end: Fit, path: Path, probe: Probe) -> tuple[Change, ...]:
    """Settings that differ and matter: each is put back, and stays out if the path is the same without it."""
    numbers, switches = dict(end.numbers), dict(end.switches)
    allowed = family.tolerance(switches)

    def off(numbers: Mapping[str, float], switches: Mapping[str, str]) -> float:
        return distance(family.run(numbers, switches, probe), path)

    for name, value in start.numbers.items():
        if numbers[name] != value and off({**numbers, name: value}, switches) <= allowed:
            numbers[name] = value
    for name, way in start.switches.items():
        back = {**switches, name: way}
        # A switch of precision widens what is allowed: neither side's width may hide it.
        if switches[name] != way and off(numbers, back) <= min(allowed, family.tolerance(back)):
            switches = back
    changed = [n for n in numbers if numbers[n] != start.numbers[n]]
    turned = [s for s in switches if switches[s] != start.switches[s]]
    return (
        *(Change(n, start.numbers[n], numbers[n], as_argument(one, n, numbers)) for n in changed),
        *(Change(s, start.switches[s], switches[s], _option(one, s, switches[s], numbers)) for s in turned),
    )


def _option(one: Implementation, switch: str, value: str, numbers: Mapping[str, float]) -> Mapping[str, Any] | None:
    given = one.words.options.get((switch, value))
    return given(numbers) if callable(given) else given


def as_argument(one: Implementation, number: str, numbers: Mapping[str, float]) -> Mapping[str, Any] | None:
    """What sets a number, and the arguments that have to follow it."""
    words, arguments, value = one.words, one.arguments, numbers[number]
    name, read = words.numbers.get(number), words.read.get(number)
    try:
        follows = {a: write(numbers, arguments) for a, (needs, write) in words.write.items() if number in needs}
        given = {a: v for a, v in follows.items() if v != arguments[a]}
        if name is None or read is not None:
            if given or not follows or read is None:
                return given or None
            # Arguments may be right as they are, such as a gamma whose milestones are not.
            every = {a: write(numbers, arguments) for a, (_, write) in words.write.items()}
            return follows if read({**arguments, **every}) == value else None
    except ZeroDivisionError:  # a share of 0
        return None
    if isinstance(name, str):
        return {name: int(value) if isinstance(arguments[name], int) and value == int(value) else value} | given
    entries = list(arguments[name[0]])
    entries[name[1]] = value
    return {name[0]: tuple(entries)} | given


def _verified(
    one: Implementation, family: Family, start: Fit, changes: tuple[Change, ...], path: Path, probe: Probe
) -> tuple[str, float]:
    if all(change.arguments is not None for change in changes):
        # An implementation may refuse arguments together that it takes apart, such as Nesterov's look-ahead and dampening.
        with contextlib.suppress(SpecError, TypeError, ValueError):
            return "run", distance(with_arguments(one, merged(one, changes)).path(probe), path)
    numbers = start.numbers | {c.setting: c.b for c in changes if not isinstance(c.b, str)}
    switches = start.switches | {c.setting: c.b for c in changes if isinstance(c.b, str)}
    return "model", distance(family.run(numbers, switches, probe), path)
