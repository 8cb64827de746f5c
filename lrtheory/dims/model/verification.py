"""Symmetries tried in numbers: the loss at scaled parameters, Euler's identity, and what fixed tensors do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .generator import Generator, Runner

#: The factors that are tried: a power of two, and one that rounds.
FACTORS = (4.0, 0.7)
#: So much larger is what a guard protects made, that the guard is lost in rounding.
FAR = 2.0**60
#: So often are parameters drawn until the loss is a finite number.
TRIES = 8
#: So many roundings may a loss that is the same differ by, and so few one that does not depend on a tensor.
ROUNDINGS, FEW = 1e4, 1e2


@dataclass(frozen=True)
class Trial:
    """One generator in numbers.

    Attributes
    ----------
    change : float
        The largest relative change of the loss under scaling, at random parameters.
    beyond : float
        The same where what its guards protect is far above their eps; ``change`` for an exact one, and nan where no
        scaling puts all of its guards out of reach.
    euler : float
        The size of Σ eᵢ⟨θᵢ, ∇ᵢL⟩ beside that of its terms, at the same place. Where it is not 0 and the loss does not
        change, the gradient is not the slope of the loss: a custom derivative or ``stop_gradient``.
    """

    generator: Generator
    change: float
    beyond: float
    euler: float


@dataclass(frozen=True)
class Verification:
    """What a run in numbers says of symmetries.

    Attributes
    ----------
    trials : tuple of Trial
    fixed : mapping of tensor to float
        How much the loss changes, relatively, with the tensor alone scaled.
    precision : float
        Of the coarsest floats that the loss computes with: their spacing at 1.
    """

    trials: tuple[Trial, ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    precision: float = 0.0

    @property
    def tolerance(self) -> float:
        """What a loss that is the same may differ by, relatively."""
        return ROUNDINGS * self.precision

    @property
    def wrong(self) -> tuple[Generator, ...]:
        """Generators that change the loss: there should be none, ever."""
        return tuple(t.generator for t in self.trials if t.beyond > self.tolerance)

    @property
    def untried(self) -> tuple[Generator, ...]:
        """Generators whose guards no scaling puts out of reach, and that change the loss by what may be those guards."""
        return tuple(t.generator for t in self.trials if math.isnan(t.beyond) and t.change > self.tolerance)

    @property
    def not_slopes(self) -> tuple[Generator, ...]:
        """Generators that do not change the loss, but whose Euler identity fails."""
        return tuple(t.generator for t in self.trials if t.beyond <= self.tolerance and t.euler > self.tolerance)

    @property
    def missed(self) -> tuple[str, ...]:
        """Tensors said to be fixed that do not change the loss: a symmetry that is no scaling, such as a shift, hides it."""
        return tuple(name for name, change in self.fixed.items() if change <= FEW * self.precision)

    @property
    def passed(self) -> bool:
        """Whether something was tried, every generator holds, Euler's identity too, and every fixed tensor matters."""
        seen = bool(self.trials or self.fixed)
        return seen and not (self.wrong or self.untried or self.not_slopes or self.missed)

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "passed": self.passed,
            "tolerance": self.tolerance,
            "generators": [
                {"generator": str(t.generator), "change": t.change, "beyond": t.beyond, "euler": t.euler}
                for t in self.trials
            ],
            "fixed": dict(self.fixed),
            "missed": list(self.missed),
            "untried": [str(generator) for generator in self.untried],
        }


def verify(
    runner: Runner, names: Sequence[str], generators: Sequence[Generator], fixed: Sequence[str], seed: int = 0
) -> Verification:
    """Run the loss at random parameters, each tensor as wide as the given one, and at scaled ones.

    Raises
    ------
    ValueError
        Where the loss has no derivative, or is not a finite number.
    """
    drawn, here = _start(runner, seed)

    def scaled(tensors: list[np.ndarray], exponents: Mapping[str, Any], k: float) -> list[np.ndarray]:
        return [np.asarray(t * k ** float(exponents.get(name, 0))) for name, t in zip(names, tensors, strict=True)]

    def change(tensors: list[np.ndarray], value: float, exponents: Mapping[str, Any]) -> float:
        others = [runner.at(scaled(tensors, exponents, k), slopes=False)[0] for k in FACTORS]
        apart = [abs(other - value) / (abs(value) or 1.0) for other in others]
        return max(math.inf if math.isnan(each) else each for each in apart)

    def euler(tensors: list[np.ndarray], at: tuple[float, list[np.ndarray]], exponents: Mapping[str, Any]) -> float:
        value, slopes = at
        both = [(exponents[n], t, s) for n, t, s in zip(names, tensors, slopes, strict=True) if n in exponents]
        terms = [float(e) * float(np.sum(t * s)) for e, t, s in both]
        size = sum(abs(float(e)) * float(np.linalg.norm(t) * np.linalg.norm(s)) for e, t, s in both)
        off = abs(sum(terms)) / max(size, abs(value), 1e-300)
        return math.inf if math.isnan(off) else off

    trials = []
    for generator in generators:
        near = change(drawn, here[0], generator)
        k = _outwards(generator) if generator.guards else 1.0
        if generator.exact or k is None:
            trials.append(Trial(generator, near, math.nan if k is None else near, euler(drawn, here, generator)))
            continue
        far = scaled(drawn, generator, k)
        there = runner.at(far)
        trials.append(Trial(generator, near, change(far, there[0], generator), euler(far, there, generator)))
    alone = {name: change(drawn, here[0], {name: 1}) for name in fixed}
    return Verification(tuple(trials), alone, runner.precision)


def _start(runner: Runner, seed: int) -> tuple[list[np.ndarray], tuple[float, list[np.ndarray]]]:
    """Parameters at which the loss is finite, and the loss there; after some tries with the signs that were given."""
    rng, given = np.random.default_rng(seed), runner.given()
    for at in range(TRIES):
        drawn = [np.asarray(rng.normal(size=x.shape) * (np.sqrt(np.mean(x**2)) if np.any(x) else 0.1)) for x in given]
        if at >= TRIES // 2:
            drawn = [np.where(x == 0, d, np.copysign(d, x)) for x, d in zip(given, drawn, strict=True)]
        here = runner.at(drawn)
        if math.isfinite(here[0]):
            return drawn, here
    raise ValueError(
        f"the loss is {here[0]} at random parameters as wide as the given ones: give parameters and data at which it is finite"
    )


def _outwards(generator: Generator) -> float | None:
    """The factor under which all that its guards protect becomes far larger than their eps; ``None`` if none does."""
    powers = [float(power) for power in generator.guards.values()]
    if min(powers) * max(powers) <= 0:
        return None
    return FAR ** (1 / min(powers, key=abs))
