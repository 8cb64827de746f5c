"""The smallest change of a model that reproduces a path."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .family import Family
from .probe import Path, Probe, distance

#: How many switches are turned at once at most.
DEPTH = 4


@dataclass(frozen=True)
class Fit:
    """A member of a family and how far it is from the path it was fitted to.

    Attributes
    ----------
    numbers, switches : of the member
    distance : float
        Largest error relative to a coordinate's reach.
    exact : bool
        Whether that is within what the family reproduces.
    """

    numbers: dict[str, float]
    switches: dict[str, str]
    distance: float
    exact: bool


def fit(family: Family, path: Path, probe: Probe, numbers: Mapping[str, float], switches: Mapping[str, str]) -> Fit:
    """The member nearest in switches to the given one that runs along the path.

    Switches are turned one at a time, then two, up to :data:`DEPTH`; if none of these will do, each number in turn is fitted
    to the path beside at most two turned switches.
    """
    base = {**family.numbers, **numbers}
    nearest = None
    tried: list[Fit] = []
    for turned in _turns(family, switches, DEPTH):
        found = _measured(family, base, turned, path, probe)
        tried.append(found)
        if nearest is None or found.distance < nearest.distance:
            nearest = found
        if found.exact:
            return found
    for found in tried[: 1 + sum(len(v) - 1 for v in family.switches.values())]:
        for name in sorted(base):
            value = _solved(family, found, name, path, probe)
            if value is None:
                continue
            again = _measured(family, {**base, name: value}, found.switches, path, probe)
            if again.exact:
                return again
            if nearest is None or again.distance < nearest.distance:
                nearest = again
    assert nearest is not None
    return nearest


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
    gap = distance(family.run(numbers, switches, probe), path)
    gap = float("inf") if np.isnan(gap) else gap
    return Fit(dict(numbers), dict(switches), gap, gap <= family.tolerance(switches))


def _solved(family: Family, start: Fit, name: str, path: Path, probe: Probe) -> float | None:
    """The value of one number that brings the model nearest: Gauss-Newton on errors relative to each reach."""
    value = start.numbers[name]
    reach = {k: np.maximum(np.abs(p - p[0]).max(axis=0), 1e-300) for k, p in path.items()}

    def residual(x: float) -> np.ndarray:
        moved = family.run({**start.numbers, name: x}, start.switches, probe)
        return np.concatenate([((moved[k] - path[k]) / reach[k]).ravel() for k in path])

    with np.errstate(all="ignore"):
        for _ in range(8):
            now = residual(value)
            width = 1e-6 * max(abs(value), 1e-4)
            slope = (residual(value + width) - now) / width
            square = float(slope @ slope)
            if not np.isfinite(square) or square == 0:
                return None
            move = float(slope @ now) / square
            value -= move
            if not np.isfinite(value):
                return None
            if abs(move) <= 1e-13 * abs(value):
                break
    return value
