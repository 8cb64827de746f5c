"""A law as a record: what it says, where it holds, who said so, and a check that a wrong version of it fails."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

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


Rng = np.random.Generator
#: What a check shows: numbers, the largest of which is the residual; a text, what was run; a mapping, its figures.
Shown = Iterator[Any]


def law(
    text: str,
    formula: Callable[..., Any],
    mutants: Mapping[str, Callable[..., Any]],
    *,
    bound: float = 0.0,
    why: str = "",
    key: int | None = None,
    x64: bool = True,
    sample_size: int | None = None,
    false_alarm_rate: float | None = None,
) -> Callable[[Callable[[Any, Rng], Shown]], Law]:
    """Make the law of a text and of what a check shows, given the formula and a generator of random numbers.

    A check of kind ``"false"`` looks for a counterexample. A nan that is shown makes the residual one.

    Parameters
    ----------
    text : str
        ``KIND ID: TITLE``, of a claim ``KIND ID (DECISION): TITLE``; the statement; and what follows the words ``claim:``,
        ``scope:``, ``source:``, ``ran:`` and ``why:`` at the beginning of a line, the last two as in :class:`Evidence`.
    bound, why
        Of the evidence.
    key : int, optional
        Begins another sequence of random numbers beside the seed.
    x64 : bool
        Whether JAX computes in double precision meanwhile.
    """
    heading, *parts = re.split(r"\n *(?:(claim|scope|source|ran|why): )?", text.strip())
    named = re.fullmatch(r"(\w+) (\S+)(?: \((\w+)\))?: (.+)", heading)
    if named is None:
        raise ValueError(f"a law begins with 'KIND ID: TITLE' or 'KIND ID (DECISION): TITLE', not {heading!r}")
    kind, law_id, decision, title = named.groups()
    said, label = {"why": why}, "statement"
    for begins, line in zip(parts[::2], parts[1::2], strict=True):
        label = begins or label
        said[label] = f"{said.get(label, '')} {line}".strip()

    def decorate(shows: Callable[[Any, Rng], Shown]) -> Law:
        if getattr(formula, "__name__", "") == "<lambda>":
            formula.__qualname__ = shows.__name__  # where the formula stands

        def check(formula: Callable[..., Any], seed: int) -> Evidence:
            ran, figures, off = said.get("ran", ""), {}, []
            with jax.enable_x64(x64):
                for shown in shows(formula, np.random.default_rng(seed if key is None else [seed, key])):
                    if isinstance(shown, str):
                        ran = shown
                    elif isinstance(shown, Mapping):
                        figures.update(shown)
                    else:
                        off.append(np.max(shown))
            return Evidence(
                ran=ran,
                residual=float(np.max(off)),
                bound=bound,
                derivation=said["why"],
                is_counterexample=kind == "false",
                sample_size=sample_size,
                confidence=None if false_alarm_rate is None else 1 - false_alarm_rate,
                false_alarm_rate=false_alarm_rate,
                figures=figures,
            )

        about: dict[str, Any] = {name: said.get(name, "") for name in ("statement", "scope", "source")}
        about |= {"kind": kind, "decision": decision, "claim": said.get("claim")}
        return Law(id=law_id, title=title, formula=formula, check=check, mutants=mutants, **about)

    return decorate


def without(hyper: Any, name: str) -> Any:
    """The hyperparameters with one of them at 0, if there is one of that name."""
    return hyper._replace(**{name: 0.0}) if name in hyper._fields else hyper


def relative(found: Any, expected: Any) -> Any:
    """How far what was found is from what was expected, over that."""
    return np.abs(found / expected - 1)


def distance(found: Any, expected: Any) -> Any:
    """The largest difference over the largest entry of what was expected."""
    return np.max(np.abs(found - expected)) / np.max(np.abs(expected))
