"""Families of schedules: one formula with switches for everything that implementations of a schedule are known to vary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrtheory.spec.text import SpecError

from ..family import SIZES, Family
from ..probe import Path, Probe

#: ``formula(n, k, t) -> lr`` or ``(lr, momentum)``: numbers, switches and the scheduler steps taken, from 0.
Formula = Callable[[Any, Mapping[str, str], np.ndarray], Any]

HELD, SINGLE = "lr held", "in float32 from step to step"
#: Every family has these switches.
EVERY = {"lr of": ("this step", "the step before", "the step after"), HELD: ("in double", SINGLE)}
#: Two roundings of 2⁻²⁴ at each of 840 steps.
DRIFT = 1e-4

LONGEST = 1_000_000


@dataclass(frozen=True)
class ScheduleFamily(Family):
    """One formula in float64.

    A path has the lr and the momentum of every step, each after a leading 0, so that what it is measured by is the largest
    value; momentum is nan where it is left alone.
    """

    # from numbers to the step from which a schedule has nothing new: a run goes on until it is passed twice
    horizon: Callable[[Any], float] = lambda n: 40.0

    def probe(self, *numbers: Mapping[str, float], missing: bool = False) -> Probe:
        """A run past the horizon of each member."""
        if missing:
            raise SpecError("a schedule has no gradient that could be missing")
        return past(max(self.horizon(SimpleNamespace(**{**self.numbers, **some})) for some in numbers))

    def admits(self, switches: Mapping[str, str], path: Path) -> bool:
        """An lr held in float32 is one of its numbers at every step."""
        lr = path["lr"]
        return switches[HELD] != SINGLE or bool(np.array_equal(lr, single(lr), equal_nan=True))

    def run(self, numbers: Mapping[str, float], switches: Mapping[str, str], probe: Probe) -> Path:
        """The model's lr and momentum along the probe."""
        n = SimpleNamespace(**{name: np.float64(value) for name, value in {**self.numbers, **numbers}.items()})
        t = np.arange(probe.steps, dtype=np.float64)
        t = {"this step": t, "the step before": np.maximum(t - 1, 0), "the step after": t + 1}[switches["lr of"]]
        with np.errstate(all="ignore"):
            values = self.step(n, switches, t)
        lr, momentum = values if isinstance(values, tuple) else (values, np.nan)
        lr = single(lr) if switches[HELD] == SINGLE else lr
        return as_path(np.broadcast_to(lr, t.shape), np.broadcast_to(momentum, t.shape))


def past(horizon: float) -> Probe:
    """A run of a schedule that passes the horizon twice."""
    steps = int(2.5 * horizon) + 8
    if steps > LONGEST:
        raise SpecError(
            f"a schedule of {horizon:.0f} steps needs a run of {steps}, over {LONGEST}: give both a shorter horizon"
        )
    return Probe({}, {}, np.ones(max(steps, 40)))


def single(values: Any) -> np.ndarray:
    """Rounded to float32."""
    return np.asarray(values, np.float32).astype(np.float64)


def as_path(lr: np.ndarray, momentum: np.ndarray | None = None) -> Path:
    """What a schedule does."""
    left_alone = np.full(len(lr), np.nan)
    values = {"lr": lr, "momentum": left_alone if momentum is None else momentum}
    return {name: np.concatenate([[0.0], np.asarray(value, np.float64)]) for name, value in values.items()}


def schedule(
    name: str,
    numbers: Mapping[str, float],
    switches: Mapping[str, tuple[str, ...]],
    horizon: Callable[[Any], float],
    tolerance: Callable[[Mapping[str, str]], float] = lambda switches: 1e-9,
) -> Callable[[Formula], ScheduleFamily]:
    """The family of a formula."""
    every = {**switches, **EVERY}
    return lambda formula: ScheduleFamily(
        name,
        formula,
        {"lr": 1.0, **numbers},
        every,
        # A run of a formula costs microseconds, so that every member is tried; steps are whole numbers.
        depth=len(every),
        sizes=(*SIZES, *range(1, 129)),
        horizon=horizon,
        tolerance=lambda switches: DRIFT if switches[HELD] == SINGLE else tolerance(switches),
    )
