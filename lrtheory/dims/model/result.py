"""What was found of a network: generators of its scale symmetries, what is fixed by which line, and what guards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...outputs import plain
from .._kernel.equations import Location

if TYPE_CHECKING:
    from .verification import Verification


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


@dataclass(frozen=True)
class Fixed:
    """Why a tensor cannot be scaled: the line, and what it does."""

    location: Location | None
    statement: str

    def __str__(self) -> str:
        return self.statement + (f" ({self.location})" if self.location else "")


@dataclass(frozen=True)
class Unknown:
    """An operation that no table has: it was taken for a function of pure numbers, so symmetries may be missing."""

    name: str
    location: Location | None

    def __str__(self) -> str:
        return self.name + (f" ({self.location})" if self.location else "")


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


@dataclass(frozen=True)
class Symmetries:
    """Scale symmetries of a loss as a function of its parameters.

    Attributes
    ----------
    tensors : tuple of str
        All real tensors among the parameters, by path.
    generators : tuple of Generator
        All scale symmetries that the walk knows are products of powers of these, each exact or up to the eps of guards.
    exact : tuple of Generator
        Those of the symmetries that hold to rounding, whatever an eps is: the same generators where nothing guards.
    invariant : tuple of str
        Tensors that may be scaled alone: the loss does not depend on their length.
    fixed : mapping of tensor to Fixed
        Tensors that no symmetry scales, and the line that fixes each.
    unread : tuple of str
        Tensors that the loss does not read.
    guards : tuple of Guard
        What some generators hold up to.
    unknown : tuple of Unknown
        Operations without a rule. The generators hold nevertheless; others may be missing.
    notes : tuple of str
    """

    tensors: tuple[str, ...]
    generators: tuple[Generator, ...] = ()
    exact: tuple[Generator, ...] = ()
    invariant: tuple[str, ...] = ()
    fixed: Mapping[str, Fixed] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()
    runner: Runner | None = field(default=None, repr=False, compare=False)

    def run_by(self, runner: Runner | None) -> Symmetries:
        """The same, which can be tried in numbers."""
        return replace(self, runner=runner)

    def verify(self, seed: int = 0) -> Verification:
        """Try every generator and every fixed tensor in numbers, at random parameters.

        Raises
        ------
        ValueError
            If parameters or data were given as shapes, so that nothing can be run.
        """
        from .verification import verify

        return verify(self, seed)

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""

        def at(location: Location | None) -> dict[str, Any] | None:
            return location and {"file": location.file, "line": location.line, "source": location.source}

        def guard(g: Guard) -> dict[str, Any]:
            return {"at": at(g.location), "condition": g.condition, "eps": g.eps,
                    "smallest": g.smallest, "typical": g.typical}  # fmt: skip

        def listed(generators: tuple[Generator, ...]) -> list[dict[str, Any]]:
            return [
                {"exponents": {name: str(power) for name, power in g.items()}, "exact": g.exact,
                 "guards": [self.guards.index(each) for each in g.guards]}
                for g in generators
            ]  # fmt: skip

        return plain(
            {
                "tensors": self.tensors,
                "generators": listed(self.generators),
                "exact": listed(self.exact),
                "invariant": self.invariant,
                "fixed": {name: {"at": at(f.location), "statement": f.statement} for name, f in self.fixed.items()},
                "unread": self.unread,
                "guards": [guard(each) for each in self.guards],
                "unknown": [{"name": u.name, "at": at(u.location)} for u in self.unknown],
                "notes": self.notes,
            }
        )
