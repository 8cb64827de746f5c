"""What a run leaves behind, and how far two runs are apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .problem import Parameters

BEYOND_ROUNDING = 1e-9
"""Share of the distance travelled above which two float64 runs of a few hundred steps are said to differ.

Empirical: rounding stays below 1e-12 on the models here, and the smallest mistake that is tried (one epsilon moved into
a square root) is above 1e-7.
"""


@dataclass(frozen=True, eq=False)
class Trained:
    """One closed-loop run."""

    loss: np.ndarray  # the loss that was differentiated, before each step
    lr: np.ndarray  # nominal lr of each step
    params: Parameters  # shape (steps + 1, …): before the first step and after each
    # recorded steps in front: what an observer made of each recorded step
    seen: Any = field(default=None, repr=False)

    @property
    def last(self) -> Parameters:
        """Parameters after the last step."""
        return {name: values[-1] for name, values in self.params.items()}

    @property
    def travel(self) -> float:
        """Largest distance of any coordinate from where it began, at any step."""
        return max(float(np.max(np.abs(values - values[0]))) for values in self.params.values())

    @property
    def step_norm(self) -> np.ndarray:
        """‖Δθ‖ over all parameters, shape (steps,)."""
        return np.sqrt(
            sum(np.sum(np.diff(v, axis=0).reshape(len(v) - 1, -1) ** 2, axis=1) for v in self.params.values())
        )

    @property
    def diverged(self) -> bool:
        """Whether the run ended above where it began, or not at a number."""
        return not (np.all(np.isfinite(self.loss)) and self.loss[-1] <= self.loss[0])


@dataclass(frozen=True)
class Distance:
    """How far two runs are apart, over the distance travelled by the first."""

    largest: float
    first_step: int | None  # from 1; None where they never differ by more than ``beyond``


def distance(a: Trained, b: Trained, beyond: float = BEYOND_ROUNDING) -> Distance:
    """Largest difference of any coordinate at any step, and the first step at which it is beyond rounding.

    Raises ValueError if the runs are not of the same parameters and steps, or the first went nowhere: nothing could be
    told.
    """
    shapes = [{name: values.shape for name, values in run.params.items()} for run in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"two runs of different parameters or lengths: {shapes[0]} and {shapes[1]}")
    if not a.travel > 0:
        raise ValueError("the first run never moved, so that no distance can be told in units of its travel")
    apart = np.max(
        [np.max(np.abs(a.params[n] - b.params[n]).reshape(len(a.params[n]), -1), axis=1) for n in a.params], axis=0
    )
    apart = np.where(np.isfinite(apart), apart, np.inf) / a.travel
    beyond_rounding = np.flatnonzero(apart > beyond)
    return Distance(float(apart.max()), int(beyond_rounding[0]) if beyond_rounding.size else None)
