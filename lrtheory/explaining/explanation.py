"""All that is said of a SPEC, as data: the terminal page and the JSON are made of it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from .. import rules
from ..rescaling import EXACTNESS, rescale
from ..rules import Rule
from ..spec import NoRuleError, Reading, read
from ..units import Units
from ..wrappers import Wrapper
from .facts import EffectiveLr, Fact, effective_lrs, facts
from .unruled import Unruled, read_unruled


@dataclass(frozen=True)
class Change:
    """A change that was asked for."""

    loss: float = 1.0
    params: float = 1.0
    batch: float = 1.0
    reduction: str | None = None
    method: str | None = None

    @property
    def is_none(self) -> bool:
        """Whether nothing is changed."""
        return self.loss == self.params == self.batch == 1


@dataclass(frozen=True)
class Number:
    """One hyperparameter: its value, units, and value after the change."""

    name: str
    value: float
    units: Units
    becomes: float


@dataclass(frozen=True)
class Explanation:
    """What is known of an optimizer.

    Attributes
    ----------
    spec, framework : str
    title : str
        The rule as this package calls it, or that it has none.
    formula : str
        LaTeX of the rule's docstring, ``""`` without a rule.
    numbers : tuple of Number
    effective : tuple of EffectiveLr
    unsettled : str or None
        Why the effective lr has no steady state.
    facts, facts_after : tuple of Fact
        Of the rule inside all wrappers: with its numbers, and with those after the change (empty without one).
    facts_of : str
        That rule.
    change : Change
    exactness : str or None
    notes : tuple of str
        Of the reading and of the change.
    code : str
        The SPEC with the new numbers, to be pasted back.
    """

    spec: str
    framework: str
    title: str
    formula: str
    numbers: tuple[Number, ...]
    effective: tuple[EffectiveLr, ...]
    unsettled: str | None
    facts: tuple[Fact, ...]
    facts_after: tuple[Fact, ...]
    facts_of: str
    change: Change
    exactness: str | None
    notes: tuple[str, ...]
    code: str

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "spec": self.spec,
            "framework": self.framework,
            "rule": self.title,
            "formula": self.formula,
            "numbers": [
                {"name": n.name, "value": n.value, "units": str(n.units), "becomes": n.becomes} for n in self.numbers
            ],
            "effective_lr": [row._asdict() for row in self.effective],
            "unsettled": self.unsettled,
            "facts": [fact._asdict() for fact in self.facts],
            "facts_after": [fact._asdict() for fact in self.facts_after],
            "change": {
                "loss": self.change.loss,
                "params": self.change.params,
                "batch": self.change.batch,
                "reduction": self.change.reduction or "mean (assumed)",
                "method": self.change.method,
            },
            "exactness": self.exactness,
            "meaning": EXACTNESS.get(self.exactness) if self.exactness else None,  # type: ignore[call-overload]
            "notes": list(self.notes),
            "code": self.code,
        }


def explain(text: str, change: Change | None = None) -> Explanation:
    """Explain a SPEC under a change.

    Raises
    ------
    SpecError
        For what is no SPEC, or names nothing.
    ValueError
        For a change that is impossible; the message says why, and the nearest thing that can be done.
    """
    change = change or Change()
    try:
        reading = read(text)
    except NoRuleError as reason:
        return _of_unruled(read_unruled(text, str(reason)), change)
    return _of_reading(reading, change)


def _of_reading(reading: Reading, change: Change) -> Explanation:
    rule, hyper = reading.rule, reading.hyper
    found = rescale(
        rule, hyper, loss=change.loss, params=change.params, batch=change.batch,
        method=change.method, reduction=change.reduction,
    )  # fmt: skip
    inside, inner = innermost(rule, hyper)
    rows, unsettled = effective_lrs(inside, inner)
    return Explanation(
        spec=reading.text,
        framework=reading.framework,
        title=repr(rule),
        formula=formula_of(inside),
        numbers=tuple(
            Number(name, float(value), rule.units[name], float(getattr(found.hyper, name)))
            for name, value in zip(hyper._fields, hyper, strict=True)
            if value is not None
        ),
        effective=rows,
        unsettled=unsettled,
        facts=tuple(facts(inside, inner)),
        facts_after=() if change.is_none else tuple(facts(inside, innermost(rule, found.hyper)[1])),
        facts_of=repr(inside),
        change=Change(change.loss, change.params, change.batch, change.reduction, found.method),
        exactness=None if change.is_none else found.exactness,
        notes=(*reading.notes, *found.notes),
        code=reading.write(found.hyper, 1.0, change.batch),
    )


def _of_unruled(unruled: Unruled, change: Change) -> Explanation:
    """Units and the change of loss and parameters; what else is not known is said."""
    new, exactness, notes = unruled.rescaled(change.loss, change.params, change.batch)
    return Explanation(
        spec=unruled.target.text,
        framework=unruled.target.framework,
        title="none of the rules of this package",
        formula="",
        numbers=tuple(
            Number(name, value, unruled.found.hyper[name], new[name])
            for name, value in unruled.target.numbers.items()
            if name in unruled.found.hyper
        ),
        effective=(),
        unsettled=None,
        facts=(),
        facts_after=(),
        facts_of="",
        change=change,
        exactness=None if change.is_none else exactness,
        notes=tuple(notes),
        code=unruled.target.write(new),
    )


def innermost(rule: Rule | Wrapper, hyper: Any) -> tuple[Rule, Any]:
    """The rule inside all wrappers, with its numbers."""
    while isinstance(rule, Wrapper):
        rule, hyper = rule.rule, rule.inner(hyper)
    return rule, hyper


def formula_of(rule: Rule) -> str:
    """LaTeX of the rule's formula, from its docstring."""
    text = inspect.getdoc(rules.get(rule.name)) or ""
    block = re.search(r"^\.\. math::\n((?:[ ]{4}.*\n|\n)+)", text, re.MULTILINE)
    return inspect.cleandoc(block.group(1)) if block else ""
