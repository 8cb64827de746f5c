"""What was found of a network: generators of its scale symmetries, what is fixed by which line, and what guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...outputs import plain
from .._kernel.equations import Location
from .generator import Generator, Guard, Runner
from .verification import Verification, verify


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
        if self.runner is None:
            raise ValueError("nothing can be run: give arrays, not shapes, as the parameters and the data")
        further = [g for g in self.exact if g not in self.generators]
        return verify(self.runner, self.tensors, [*self.generators, *further], list(self.fixed), seed)

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
