"""Which arguments were seen to act, and which of them alone make one implementation run as another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lrtheory.names.torch import EXECUTION
from lrtheory.spec import Formula, SpecError

from .implementation import GROUPED, Implementation, with_arguments
from .probe import AVERAGE, Path, Probe, distance
from .schedules import CLOSED

#: Arguments that say how to compute, or what something is called, and are not asked to act.
SILENT = (*EXECUTION, CLOSED, "name")
#: How many arguments are tried together at most.
MOST = 2
#: Steps of a longer run, for what acts once in a hundred.
LONGER = 130
#: Steps of a longer run of a schedule.
FARTHEST = 200_000
#: Tensors of every rank: rules may treat matrices and other tensors by different rules.
RANKS = {"scalar": (), "row": (8,), "plane": (5, 4), "kernel": (2, 3, 2)}


def differing(one: Implementation, other: Implementation, dtype: str = "float64") -> dict[str, Any]:
    """Arguments of the first that would have to change for it to be the other: the other's values, or the defaults.

    Between implementations of one name those are the arguments that differ. Between others they are those that its own
    words say nothing of and that are not left at their defaults.
    """
    if one.name == other.name:
        names = [name for name in {**one.arguments, **other.arguments} if name not in SILENT]
        pairs = {name: (one.arguments.get(name), other.arguments.get(name)) for name in names}
        return {name: b for name, (a, b) in pairs.items() if not _equal(a, b, dtype)}
    if one.name == f"{other.name}{GROUPED}":  # each group's settings beside those of all
        there = {name: other.arguments.get(name.rpartition(".")[2]) for name in one.arguments if name not in SILENT}
        return {name: b for name, b in there.items() if not _equal(one.arguments[name], b, dtype)}
    spoken = one.spoken
    return {
        name: default
        for name, default in one.defaults.items()
        if name not in (*SILENT, *spoken) and not _equal(one.arguments.get(name, default), default, dtype)
    }


def _equal(a: Any, b: Any, dtype: str = "float64") -> bool:
    """Whether two arguments are one, in a run of this dtype; a number with a dtype of its own is its value."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    try:
        if isinstance(a, np.generic) != isinstance(b, np.generic):
            a, b = float(a), float(b)
        return a is b or bool(a == b) or (dtype != "float64" and bool(np.asarray(a, dtype) == np.asarray(b, dtype)))
    except (TypeError, ValueError):
        return False


def further(probe: Probe, is_schedule: bool) -> Iterator[Probe]:
    """Runs on which an argument may act that did not act on the first: tensors of other ranks, and more steps."""
    if is_schedule:
        steps = min(40 * probe.steps, FARTHEST)
        yield replace(
            probe, factors=np.ones(steps), metrics=None if probe.metrics is None else np.resize(probe.metrics, steps)
        )
    elif probe.dtype == "float64":
        for steps in (probe.steps, LONGER):
            yield replace(
                Probe.drawn(probe.ranks or RANKS, 6.0, missing=bool(probe.absent), steps=steps),
                averaged=probe.averaged,
                ranks=probe.ranks,
            )


def run(one: Implementation, probe: Probe, changes: Mapping[str, Any] | None = None) -> Path | None:
    """Its path with some arguments changed, or ``None`` where it does not run so."""
    try:
        return (with_arguments(one, changes) if changes else one).path(probe)
    except (SpecError, TypeError, ValueError, KeyError):
        return None


def alike(a: Path, b: Path) -> float:
    """The distance of two paths; what keeps no average is evaluated at its parameters."""
    return distance(*level(a, b))


def level(a: Path, b: Path) -> tuple[Path, Path]:
    """Both paths with averages where one has them."""

    def full(path: Path, beside: Path) -> Path:
        added = {}
        for name in beside.keys() - path.keys():
            tensor = next((key for key in path if AVERAGE.format(key) == name), None)
            if tensor is not None:
                added[name] = path[tensor]
        return path | added

    return full(a, b), full(b, a)


def unseen(one: Implementation, names: Mapping[str, Any], probe: Probe, path: Path, bound: float) -> dict[str, Any]:
    """Those of the arguments that do not act along a probe: it runs the same with the other value."""
    left = {}
    for name, value in names.items():
        if isinstance(value, Formula) and isinstance(one.arguments.get(name), Formula):
            value = Formula("lambda t: 0.5")  # it acts if another function does something else
        changed = run(one, probe, {name: value})
        if changed is not None and alike(changed, path) <= bound:
            left[name] = names[name]
    return left


def enough(
    one: Implementation, names: Mapping[str, Any], runs: Sequence[tuple[Probe, Path]], bound: float
) -> tuple[dict[str, Any], float] | None:
    """The fewest of the arguments that make it run along all of these paths, and what is left of the difference."""

    def left(chosen: Sequence[str]) -> float:
        worst = 0.0
        for probe, path in runs:
            changed = run(one, probe, {name: names[name] for name in chosen})
            worst = max(worst, float("inf") if changed is None else alike(changed, path))
        return worst

    for count in range(1, min(len(names), MOST) + 1):
        for chosen in itertools.combinations(names, count):
            if (residual := left(chosen)) <= bound:
                return {name: names[name] for name in chosen}, residual
    chosen = list(names)
    if len(chosen) <= MOST or left(chosen) > bound:
        return None
    for name in names:
        fewer = [other for other in chosen if other != name]
        if left(fewer) <= bound:
            chosen = fewer
    return {name: names[name] for name in chosen}, left(chosen)
