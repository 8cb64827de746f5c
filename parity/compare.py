"""Where and by how much two runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .trajectory import Trajectory

#: Error, relative to the reach of a coordinate, that two correct implementations stay within over 200 steps. Float32 has
#: none: rounding drifts without a bound along a run. Its steps have one, derived for each: :mod:`parity.bounds`.
GATES = {"float64": 1e-13}

#: From where a difference is named. In float32 no gate but a mark: runs of one rule stay below 5e-6 over 200 steps, those
#: of two rules part by more than 1e-3; both are empirical. In half precision a tenth, of which rounding alone can do more
#: along a run whose steps are below a unit in the last place.
NOTICEABLE = {"float64": GATES["float64"], "float32": 1e-4, "bfloat16": 0.1, "float16": 0.1}


class Difference(NamedTuple):
    """One coordinate of one tensor after one step (counted from 1)."""

    step: int
    tensor: str
    coordinate: tuple[int, ...]
    a: float
    b: float
    relative: float
    ulp: float

    def __str__(self) -> str:
        where = f"{self.tensor}{list(self.coordinate) if self.coordinate else ''}"
        values = f"step {self.step}, {where}: {self.a!r} against {self.b!r}"
        # Where one is not finite there is nothing to divide.
        return f"{values} (relative {self.relative:.2e}, {self.ulp:.3g} ulp)" if np.isfinite(self.ulp) else values


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    ``relative`` holds, per quantity, ``abs(a − b)`` over the *reach* of the coordinate: the largest value it takes or the
    farthest it moves from its start, whichever is larger. No implementation can do better than round a parameter,
    and a coordinate that moves little is not excused by one that moves far. Non-finite values agree when they are the
    same; where only one is finite, the error is inf.

    Attributes
    ----------
    a, b : names of the implementations
    relative, ulp : dict
        By quantity (``weight``, or ``weight.m`` for state), arrays of shape ``(steps, *shape)``.
    values : dict
        The two arrays themselves.
    """

    a: str
    b: str
    dtype: str
    relative: dict[str, np.ndarray]
    ulp: dict[str, np.ndarray]
    values: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def largest_error(self) -> float:
        """Largest relative error of any parameter or state field at any step."""
        return max(float(error.max(initial=0)) for error in self.relative.values())

    def error_by_step(self, stretches: int = 40) -> list[float | None]:
        """Largest relative error of any parameter or state field in each of so many stretches of equal length."""
        steps = np.max(
            [error.reshape(len(error), -1).max(axis=1, initial=0) for error in self.relative.values()], axis=0
        )
        return [float(part.max()) for part in np.array_split(steps, min(stretches, len(steps)))]

    def ulp_quantiles(self, levels: tuple[float, ...] = (0.5, 0.99, 1.0)) -> tuple[float, ...]:
        """Quantiles of the distance in ulp over all parameters (state left out) and steps.

        The largest is inflated where a coordinate passes near zero; read it with the relative error.
        """
        distances = np.concatenate([v.ravel() for name, v in self.ulp.items() if "." not in name])
        return tuple(float(q) for q in np.quantile(distances, levels, method="higher"))

    def first_difference(self, bound: float | None = None) -> Difference | None:
        """The first step with an error above ``bound`` (:data:`NOTICEABLE` of the dtype), and its largest error."""
        bound = NOTICEABLE[self.dtype] if bound is None else bound
        where = first_beyond(self.relative, bound)
        if where is None:
            return None
        name, at = where
        told = (kept[at] for kept in (*self.values[name], self.relative[name], self.ulp[name]))
        return Difference(at[0] + 1, name, at[1:], *map(float, told))

    def require(self, bound: float | None = None) -> None:
        """Raise AssertionError naming the first difference unless every error is within ``bound``, the gate of float64.

        Raises
        ------
        ValueError
            In float32 without a bound.
        """
        if bound is None and self.dtype not in GATES:
            raise ValueError(
                f"a run in {self.dtype} has no gate: rounding drifts along it. Give a bound, or hold each step to the one "
                "derived for it, with parity.bounds.excess(case, run)"
            )
        bound = GATES[self.dtype] if bound is None else bound
        worst = self.largest_error
        if not worst <= bound:
            raise AssertionError(
                f"{self.a} and {self.b} differ by {worst:.3e} of a coordinate's reach, more than {bound:.0e}; "
                f"first at {self.first_difference(bound)}"
            )


def compare(a: Trajectory, b: Trajectory) -> Comparison:
    """Two runs of the same case, parameters and every state field that both keep.

    Raises
    ------
    ValueError
        When the runs have other tensors, lengths or dtypes, or fewer than 7 steps: a shorter run cannot show
        a wrong bias correction or rectifier.
    """
    if a.params.keys() != b.params.keys():
        raise ValueError(f"{a.implementation} has tensors {sorted(a.params)}, {b.implementation} {sorted(b.params)}")
    if a.steps != b.steps:
        raise ValueError(f"{a.implementation} ran {a.steps} steps, {b.implementation} {b.steps}")
    if a.steps < 7:
        raise ValueError(f"a run of {a.steps} steps proves little; at least 7 are compared")
    if a.dtype != b.dtype:
        raise ValueError(f"{a.implementation} ran in {a.dtype}, {b.implementation} in {b.dtype}")
    for tensor, start in a.params.items():
        if not np.array_equal(start[0], b.params[tensor][0], equal_nan=True):
            raise ValueError(f"{a.implementation} and {b.implementation} start at different places in {tensor}")

    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    starts: dict[str, np.ndarray] = {}
    for tensor in a.params:
        pairs[tensor] = (a.params[tensor][1:], b.params[tensor][1:])
        starts[tensor] = a.params[tensor][0]
        for name in a.states[-1].get(tensor, {}):
            left, right = a.field(tensor, name), b.field(tensor, name)
            if left is not None and right is not None:
                pairs[f"{tensor}.{name}"] = (left, right)
                starts[f"{tensor}.{name}"] = np.zeros_like(left[0])
    relative = {name: _relative(*pair, starts[name]) for name, pair in pairs.items()}
    ulp = {name: _ulp(*pair, a.dtype) for name, pair in pairs.items()}
    return Comparison(a.implementation, b.implementation, str(a.dtype), relative, ulp, pairs)


def first_beyond(errors: Mapping[str, np.ndarray], bound: float) -> tuple[str, tuple[int, ...]] | None:
    """The quantity and the place, by step and coordinate, of the largest error at the first step with one beyond a bound."""
    over = {name: np.flatnonzero((e > bound).reshape(len(e), -1).any(axis=1)) for name, e in errors.items()}
    firsts = {name: int(steps[0]) for name, steps in over.items() if steps.size}
    if not firsts:
        return None
    step = min(firsts.values())
    name = max((n for n, first in firsts.items() if first == step), key=lambda n: errors[n][step].max())
    there = errors[name][step]
    return name, (step, *(int(i) for i in np.unravel_index(int(np.argmax(there)), there.shape)))


def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Entry by entry; nan is nan."""
    return (a == b) | ((a != a) & (b != b))


def reach(start: np.ndarray, *walks: np.ndarray) -> np.ndarray:
    """The largest finite value or distance from the start, of each coordinate."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(np.stack([part for walk in walks for part in (walk, walk - start)]))
    return np.max(np.where(np.isfinite(sizes), sizes, 0), axis=(0, 1))


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``abs(a − b)``: 0 where both are the same non-finite value, inf where they are not."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    return np.where(alike(a, b), 0.0, np.where(np.isfinite(gap), gap, np.inf))


def _relative(a: np.ndarray, b: np.ndarray, start: np.ndarray) -> np.ndarray:
    gap = _gap(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / reach(start, a.astype(np.float64), b.astype(np.float64)))


def _ulp(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if np.issubdtype(a.dtype, np.integer):
        return _gap(a, b)
    larger = np.maximum(np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64))).astype(dtype)
    finite = np.isfinite(larger)
    spacing = np.where(finite, np.spacing(np.where(finite, larger, 1)), 1).astype(np.float64)
    return _gap(a, b) / spacing
