"""A law as a record: what it says, where it holds, who said so, and a check that a wrong version of it fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["exact", "bitwise", "asymptotic", "statistical", "false"]
KINDS: Mapping[Kind, str] = {
    "exact": "holds in real arithmetic; checked to rounding",
    "bitwise": "exact, and bit for bit in floating point where the scales are powers of two",
    "asymptotic": "holds in a limit; checked by how fast it is approached",
    "statistical": "holds for a mean over draws; checked with a stated confidence",
    "false": "commonly believed; checked by a counterexample",
}
Section = Literal["scaling", "invariance", "batch", "stability", "momentum", "bounds", "claims"]
SECTIONS: Mapping[Section, str] = {
    "scaling": "Loss scale and parameter scale",
    "invariance": "Scale-invariant weights",
    "batch": "Batch size",
    "stability": "Stability",
    "momentum": "Momentum, gains and time scales",
    "bounds": "Bounds on one coordinate's step",
    "claims": "Claims people make",
}


@dataclass(frozen=True)
class Evidence:
    """What a check ran and what came of it.

    Attributes
    ----------
    ran : str
        What was run, with its sizes, so that a reader could run it again.
    residual : float
        The measured figure. A nan never holds.
    bound : float
        What it was held to: the residual must be at most this. A counterexample must be *above* it.
    derivation : str
        How the bound was derived; one that is empirical says so.
    is_counterexample : bool
        Whether the evidence refutes: a residual above the bound is what was looked for.
    sample_size, confidence, false_alarm_rate
        Of a statistical check: draws, and how often the check fails although the law holds.
    figures : mapping
        Further measured numbers by name.
    """

    ran: str
    residual: float
    bound: float
    derivation: str
    is_counterexample: bool = False
    sample_size: int | None = None
    confidence: float | None = None
    false_alarm_rate: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the evidence supports the law."""
        if math.isnan(self.residual):
            return False
        return bool(self.residual > self.bound if self.is_counterexample else self.residual <= self.bound)

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {**vars(self), "figures": dict(self.figures), "holds": self.holds}


@dataclass(frozen=True, kw_only=True)
class Law:
    r"""One law.

    Attributes
    ----------
    id : str
        Its section and a name, such as ``"stability.heavy-ball"``.
    title : str
        A few words for tables.
    statement : str
        LaTeX in the code's own names.
    kind : one of :data:`KINDS`
    scope : str
        The rules it is about and what it assumes.
    source : str
        Paper with arXiv id and equation, or library file and version, or "derived here", and how it was checked.
    formula : callable
        The law as code: what :attr:`statement` says and others apply.
    check : callable
        ``(formula, seed) -> Evidence``: holds a formula, this or a wrong one, to numbers that do not come from it.
    mutants : mapping
        Wrong formulas by what is wrong with them; each must fail the check.
    claim, decision : str or None
        For section ``claims``: the sentence as people say it, and ``"true"``, ``"false"`` or ``"depends"``.
    """

    id: str
    title: str
    statement: str
    kind: Kind
    scope: str
    source: str
    formula: Callable[..., Any]
    check: Callable[[Callable[..., Any], int], Evidence]
    mutants: Mapping[str, Callable[..., Any]]
    claim: str | None = None
    decision: Literal["true", "false", "depends"] | None = None

    def __post_init__(self) -> None:
        section, _, name = self.id.partition(".")
        if section not in SECTIONS or not name:
            raise ValueError(f"law id {self.id!r} must be SECTION.NAME with a section of {', '.join(SECTIONS)}")
        if self.kind not in KINDS:
            raise ValueError(f"law {self.id}: kind={self.kind!r} must be one of {', '.join(KINDS)}")
        for name in ("title", "statement", "scope", "source"):
            if not getattr(self, name).strip():
                raise ValueError(f"law {self.id} has no {name}")
        if not self.mutants:
            raise ValueError(f"law {self.id} has no mutant: a check that nothing fails shows nothing")
        if (self.claim is None) != (section != "claims") or (self.claim is None) != (self.decision is None):
            raise ValueError(f"law {self.id}: section claims, and it alone, needs a claim and a decision")

    @property
    def section(self) -> str:
        """The part of the catalogue it stands in."""
        return self.id.partition(".")[0]

    def verify(self, seed: int = 0) -> Evidence:
        """Run the check on the law itself."""
        return self.check(self.formula, seed)


def claim(name: str, title: str, sentence: str, decision: Any, kind: Any, statement: str, **rest: Any) -> Law:
    """The law that decides a sentence people say; ``rest`` as for :class:`Law`."""
    return Law(
        id=f"claims.{name}", title=title, claim=sentence, decision=decision, kind=kind, statement=statement, **rest
    )
