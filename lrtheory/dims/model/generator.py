"""One scale symmetry, what it holds up to, and what runs the loss on numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np

from .._kernel.equations import Location


@dataclass(frozen=True)
class Guard:
    """A bare number, such as the eps of a norm, that does not scale with the quantity it protects.

    Attributes
    ----------
    location : Location or None
    condition : str
        When it matters.
    eps : float
    smallest, typical : float or None
        Of the protected quantity in one forward pass at the given parameters: its smallest entry and the median.
    """

    location: Location | None
    condition: str
    eps: float
    smallest: float | None = None
    typical: float | None = None

    def __str__(self) -> str:
        seen = ""
        if self.smallest is not None:
            seen = f"; here it is {self.smallest:.2g} and more, {self.typical:.2g} in the middle"
            seen += ": the guard acts" if self.smallest <= 10 * self.eps else ""
        return self.condition + seen


@dataclass(frozen=True)
class Generator(Mapping[str, Fraction]):
    """One symmetry: every tensor named is multiplied by k to its exponent, for any k > 0, and the loss stays as it was.

    Attributes
    ----------
    exponents : mapping of tensor to Fraction
    guards : mapping of Guard to Fraction
        What it holds up to, and the power of k that the protected quantity grows with; ``exact`` where there is none.
    """

    exponents: Mapping[str, Fraction]
    guards: Mapping[Guard, Fraction] = field(default_factory=dict)

    def __getitem__(self, tensor: str) -> Fraction:
        return self.exponents[tensor]

    def __iter__(self) -> Iterator[str]:
        return iter(self.exponents)

    def __len__(self) -> int:
        return len(self.exponents)

    @property
    def exact(self) -> bool:
        """Whether it holds to rounding at all parameters, and not only up to the eps of a guard."""
        return not self.guards

    def __str__(self) -> str:
        return ", ".join(f"{name} {_factor(power)}" for name, power in self.exponents.items())


def _factor(power: Fraction) -> str:
    size = abs(power)
    return ("×k" if power > 0 else "÷k") + ("" if size == 1 else f"^{size}" if size.denominator == 1 else f"^({size})")


class Runner(Protocol):
    """The loss as a function of its tensors, to be run on numbers."""

    precision: float
    """Of the numbers it computes with: the spacing of floats at 1."""

    def given(self) -> list[np.ndarray]:
        """The tensors as they were given."""
        ...

    def at(self, tensors: list[np.ndarray], *, slopes: bool = True) -> tuple[float, list[np.ndarray]]:
        """The loss, and its gradient by tensor unless that is not asked for."""
        ...
