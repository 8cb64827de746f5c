"""Families of update rules: one model with switches for everything that implementations of a rule are known to vary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from .probe import AVERAGE, Path, Probe

#: Where a number is looked for before it is refined.
SIZES = (*10.0 ** np.arange(-12.0, 2.0, 0.5), 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)

#: ``step(n, k, s, t, g, p, lr) -> p``: numbers, switches, state (changed in place), step from 1, gradient, parameter.
#: Beside the numbers, ``n`` has the lr that comes next; after the last step of a run the last stays.
Step = Callable[[Any, Mapping[str, str], dict[str, Any], int, np.ndarray, np.ndarray, float], np.ndarray]

#: Every family has this switch: an lr that comes one step late shows under a schedule alone.
LATE = {"lr of": ("this step", "the step before")}


#: And this one, where gradients are missing at first.
ABSENT, SKIPPED, ZEROS = "missing gradient", "is skipped", "counts as zeros"
MISSING = {ABSENT: (SKIPPED, ZEROS)}


def left(beta: Any, t: int) -> Any:
    """What βᵗ leaves of 1."""
    return 1 - beta**t


@dataclass(frozen=True)
class Family:
    """One parametrised model in float64."""

    name: str
    step: Callable[..., Any]
    numbers: Mapping[str, float]  # number → its neutral value, for an implementation that has none
    switches: Mapping[str, tuple[str, ...]]  # switch → its values, torch's first
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: {"vector": (24,)})  # shapes of the probe
    decades: float = 14.0  # over how many decades the sizes of its gradients spread
    # from switches to the error, relative to a coordinate's reach, within which a path is reproduced
    tolerance: Callable[[Mapping[str, str]], float] = lambda switches: 1e-9
    depth: int = 3  # how many switches a search turns at once at most
    sizes: tuple[float, ...] = SIZES  # where a search looks for a number before it is refined
    # whether its members keep an average of their parameters, x in the state, which is compared as well
    averaged: bool = False
    # what orders of rounding that no member follows may make, over a coordinate's reach: no difference of settings
    within: float = 0.0

    @property
    def base(self) -> dict[str, str]:
        """Torch's way."""
        return {name: values[0] for name, values in self.switches.items()}

    def probe(self, *numbers: Mapping[str, float], missing: bool = False) -> Probe:
        """The run that tells its members apart; ``numbers`` are those of the members, where it depends on them."""
        return replace(Probe.drawn(self.tensors, self.decades, missing=missing), averaged=self.averaged)

    def admits(self, switches: Mapping[str, str], path: Path) -> bool:
        """Whether a path can be of a member with these switches, beside being near it."""
        return True

    def hyper(self, numbers: Mapping[str, float], switches: Mapping[str, str]) -> Any:
        """The numbers as a step has them: numpy's, which overflow to inf where Python's raise."""
        every = {**self.numbers, **numbers}
        return SimpleNamespace(**{name: np.float64(value) for name, value in every.items()}, left=left)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Gradients and parameters as they are kept."""
        return values

    def run(self, numbers: Mapping[str, float], switches: Mapping[str, str], probe: Probe) -> Path:
        """The model's parameters along the probe, by tensor, shape (steps + 1, *shape)."""
        n = self.hyper(numbers, switches)
        late, sign = switches.get("lr of") == "the step before", -1 if switches.get("sign") == "up" else 1
        path: Path = {}
        with np.errstate(all="ignore"):
            for name, start in probe.start.items():
                p, state = self.stored(start), {}
                skipped = probe.absent.get(name, 0) if switches.get(ABSENT) == SKIPPED else 0
                values, averages = [p] * (1 + skipped), [p] * (1 + skipped)
                for t, g in enumerate(probe.gradients[name][skipped:], start=1):
                    now = t + skipped
                    at = max(now - 2, skipped) if late else now - 1
                    lr, n.next_lr = probe.lr(n.lr, at), probe.lr(n.lr, min(at + 1, probe.steps - 1))
                    p = self.stored(self.step(n, switches, state, t, self.stored(sign * g), p, lr))
                    values.append(p)
                    averages.append(state.get("x", p))
                path[name] = _wide(values)
                if self.averaged:
                    path[AVERAGE.format(name)] = _wide(averages)
        return path


@dataclass(frozen=True)
class FromZero(Family):
    """A family in a narrow dtype, run from 0 at a constant lr, which is how an lr that has a dtype is given."""

    dtype: str = "float32"

    def probe(self, *numbers: Mapping[str, float], missing: bool = False) -> Probe:
        """The same run, narrowed."""
        return super().probe(*numbers, missing=missing).from_zero(self.dtype)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Rounded to the dtype."""
        return np.asarray(values, self.dtype)


def _wide(values: Any) -> np.ndarray:
    return np.stack([np.asarray(value, np.float64) for value in values])


def family(
    name: str, numbers: Mapping[str, float], switches: Mapping[str, tuple[str, ...]], **more: Any
) -> Callable[[Step], Family]:
    """The family that a step is the model of."""
    late = {} if LATE.keys() <= switches.keys() else LATE
    return lambda step: Family(name, step, {"lr": 1.0, **numbers}, {**switches, **late}, **more)
