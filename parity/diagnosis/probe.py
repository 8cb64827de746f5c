"""The run that tells implementations apart: gradients of every size that change sign, and an lr that moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..compare import alike

#: Parameters by tensor, shape (steps + 1, *shape).
Path = dict[str, np.ndarray]

STEPS = 14
#: What the average of a tensor's parameters is called in a path: what is evaluated where a rule keeps one.
AVERAGE = "{} (average)"
#: How many gradients are missing where some are.
ABSENT_STEPS = 3


@dataclass(frozen=True)
class Probe:
    """Data of one run."""

    start: dict[str, np.ndarray]  # first parameters: 0 in every other entry, so that no step is too small to show
    gradients: dict[str, np.ndarray]  # shape (steps, *shape); from sizes far below any eps to far above one
    factors: np.ndarray  # what the lr is multiplied by at each step
    # at how many steps from the first a tensor has no gradient: zeros stand in for it where there is no other way to
    # say so
    absent: dict[str, int] = field(default_factory=dict)
    dtype: str = "float64"  # in which the run is made
    metrics: np.ndarray | None = None  # what a schedule that follows a metric is told, one at each step
    ranks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # shapes on a further run, by tensor
    averaged: bool = False  # whether the averages of the parameters are compared as well

    @classmethod
    def drawn(
        cls,
        tensors: Mapping[str, tuple[int, ...]],
        decades: float,
        seed: int = 1,
        *,
        missing: bool = False,
        steps: int = STEPS,
    ) -> Probe:
        """A run for these shapes; with ``missing``, the first is there again without its first gradients."""
        absent = {"late": ABSENT_STEPS} if missing else {}
        tensors = {**tensors, **{name: next(iter(tensors.values())) for name in absent}}
        rng = np.random.default_rng(seed)
        start, gradients = {}, {}
        sizes = 10.0 ** rng.uniform(-1, 1, steps)
        for name, shape in tensors.items():
            count = int(np.prod(shape))
            p = np.where(np.arange(count) % 2 == 0, 0.0, rng.standard_normal(count))
            start[name] = p.reshape(shape)
            # Two neighbours of each size, so that one of them starts at 0; from 1e-11 to 1e3 over fourteen decades.
            size = 10.0 ** (np.repeat(np.linspace(3 - decades, 3, (count + 1) // 2), 2)[:count]).reshape(shape)
            noise = rng.standard_normal((steps, *shape)) * (rng.random((steps, *shape)) > 0.05)
            noise[: absent.get(name, 0)] = 0
            gradients[name] = noise * size * sizes.reshape((steps,) + (1,) * len(shape))
        return cls(start, gradients, 10.0 ** rng.uniform(-1, 1, steps), absent)

    def from_zero(self, dtype: str) -> Probe:
        """The same run in a dtype from 0, beside which no step is lost, with a constant lr."""
        start = {name: np.zeros_like(p) for name, p in self.start.items()}
        return replace(self, start=start, factors=np.ones(self.steps), dtype=dtype)

    def lr(self, base: Any, step: int) -> Any:
        """The lr of a step from 0; one that has a dtype is left as it is."""
        return base * self.factors[step] if self.dtype == "float64" else base

    @property
    def steps(self) -> int:
        """How many."""
        return len(self.factors)


def cycled(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Tensors of these names, of the shapes in turn."""
    return dict(zip(names, itertools.cycle(shapes.values()), strict=False))


def distance(a: Path, b: Path) -> float:
    """Largest error of any coordinate at any step over the farthest that it moves in either run."""
    return max((float(error(x, b[name]).max(initial=0)) for name, x in a.items()), default=0.0)


def error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Per step and coordinate; inf where only one is finite, or is where the other is not."""
    with np.errstate(all="ignore"):
        sizes = np.stack([np.abs(x - x[0]), np.abs(y - x[0]), np.abs(x) * 1e-6, np.abs(y) * 1e-6])
        reach = np.max(np.where(np.isfinite(sizes), sizes, 0), axis=(0, 1))
        gap = np.abs(x - y) / reach
    return np.where(alike(x, y), 0.0, np.where(np.isfinite(gap), gap, np.inf))
