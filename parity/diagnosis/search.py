"""The smallest change of a model that reproduces a path."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .family import Family
from .probe import Path, Probe, error

#: From how many members with one switch turned a number is solved for at most; from a third as many with several.
STARTS = 6


@dataclass(frozen=True)
class Fit:
    """A member of a family and how far it is from the path it was fitted to."""

    numbers: dict[str, float]  # of the member
    switches: dict[str, str]  # of the member
    distance: float  # largest error relative to a coordinate's reach
    typical: float  # the mean error of all coordinates and steps, none counted beyond 1
    exact: bool  # whether the largest is within what the family reproduces


def fit(family: Family, path: Path, probe: Probe, numbers: Mapping[str, float], switches: Mapping[str, str]) -> Fit:
    """The member nearest in switches to the given one that runs along the path.

    Switches are turned one at a time, then two, up to the depth of the family; if none of these will do, each number in turn is solved
    for, from the members that come nearest.
    """
    base = {**family.numbers, **numbers}
    tried: list[Fit] = []
    for turned in _turns(family, switches, family.depth):
        found = _measured(family, base, turned, path, probe)
        tried.append(found)
        if found.exact:
            return _sharpest(family, found, path, probe)
    nearest = min(tried, key=lambda one: one.distance)
    plain, *turned = tried
    once = sum(len(values) - 1 for values in family.switches.values())
    single, several = (sorted(some, key=lambda one: one.typical) for some in (turned[:once], turned[once:]))
    for found in (plain, *single[:STARTS], *several[: STARTS // 3]):
        for name in sorted(base):
            value = _solved(family, found, name, path, probe)
            if value is None:
                continue
            for plainer in (0.0, float(f"{value:.6g}"), value):
                again = _measured(family, {**base, name: plainer}, found.switches, path, probe)
                if again.exact:
                    return _sharpest(family, again, path, probe)
                if again.distance < nearest.distance:
                    nearest = again
    return nearest


def nearest(family: Family, path: Path, probe: Probe, numbers: Mapping[str, float]) -> float:
    """The typical distance of the nearest member with at most one switch turned."""
    base = {**family.numbers, **numbers}
    return min(_measured(family, base, turned, path, probe).typical for turned in _turns(family, family.base, 1))


def _sharpest(family: Family, found: Fit, path: Path, probe: Probe) -> Fit:
    """A member of less precision allows more: with one switch more turned, one that allows less may be exact as well."""
    for turned in _turns(family, found.switches, 1):
        if family.tolerance(turned) < family.tolerance(found.switches):
            again = _measured(family, found.numbers, turned, path, probe)
            if again.exact:
                return again
    return found


def _turns(family: Family, switches: Mapping[str, str], depth: int) -> Iterator[dict[str, str]]:
    names = list(family.switches)
    for count in range(depth + 1):
        for chosen in itertools.combinations(names, count):
            others = [[v for v in family.switches[name] if v != switches[name]] for name in chosen]
            for values in itertools.product(*others):
                yield {**switches, **dict(zip(chosen, values, strict=True))}


def _measured(
    family: Family, numbers: Mapping[str, float], switches: Mapping[str, str], path: Path, probe: Probe
) -> Fit:
    moved = family.run(numbers, switches, probe)
    errors = np.concatenate([error(moved[name], path[name]).ravel() for name in path])
    gap = float(errors.max())
    exact = gap <= family.tolerance(switches) and family.admits(switches, path)
    return Fit(dict(numbers), dict(switches), gap, float(np.minimum(errors, 1).mean()), exact)


def _solved(family: Family, start: Fit, name: str, path: Path, probe: Probe) -> float | None:
    """The value of one number that brings the model onto the path.

    The value that puts most coordinates near it among a few of every size, and then Gauss-Newton on those that are near.
    """

    def residual(x: float) -> np.ndarray:
        moved = family.run({**start.numbers, name: x}, start.switches, probe)
        gaps = [np.where(np.isnan(moved[k]) & np.isnan(p), 0, (moved[k] - p) / reach[k]) for k, p in path.items()]
        return np.concatenate([gap.ravel() for gap in gaps])

    def misfit(r: np.ndarray) -> float:
        return float(np.mean(np.minimum(np.nan_to_num(np.abs(r), nan=1.0, posinf=1.0), 1.0)))

    reach = {k: np.fmax(np.fmax.reduce(np.abs(p - p[0])), 1e-300) for k, p in path.items()}
    value = min((start.numbers[name], 0.0, *family.sizes), key=lambda x: misfit(residual(x)))
    with np.errstate(all="ignore"):
        now = residual(value)
        for _ in range(20):
            width = 1e-7 * max(abs(value), 1e-6)
            near = np.abs(now) < 0.3
            slope = ((residual(value + width) - now) / width)[near]
            square = float(slope @ slope)
            if not np.isfinite(square) or square == 0:
                return None
            move = float(slope @ now[near]) / square
            while misfit(residual(value - move)) > misfit(now) and abs(move) > 1e-14 * abs(value):
                move /= 4
            value, now = value - move, residual(value - move)
            if abs(move) <= 1e-13 * abs(value):
                break
    return value
