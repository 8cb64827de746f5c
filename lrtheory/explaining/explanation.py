"""All that is said of a SPEC, as data: the terminal page and the JSON are made of it."""

from __future__ import annotations

import inspect
import math
import re
import sys
import warnings
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .. import rules
from ..rescaling import EXACTNESS, BatchRuleWarning, Change, rescale
from ..rules import Rule
from ..spec import Curve, NoRuleError, Reading, Spec, SpecError, curve, is_schedule, is_torch, parse, part, read, short
from ..spec.parts import RATES
from ..theory import NoLaw
from ..theory.momentum import steady_effective_lr
from ..units import Units
from ..wrappers import Wrapper, innermost
from .beside import SAME, beside, run
from .facts import Fact, facts
from .trained import EffectiveLr, clipped_to, effective_lrs
from .unruled import Unruled, read_unruled


@dataclass(frozen=True)
class Number:
    """One hyperparameter: its value, units, and value after the change."""

    name: str
    value: float
    units: Units
    becomes: float


class Level(NamedTuple):
    """An lr of a schedule: where (``"start"``, ``"peak"``, ``"end"``), the first step at which it holds, and whether it stays."""

    where: str
    t: int
    lr: float
    stays: bool


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
    schedule, schedule_after : tuple of Level
        The lr at the start, the peak and the end of its schedule; empty without one.
    effective : tuple of EffectiveLr
        Of the rule as it is wrapped and scheduled.
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
    change: Change
    exactness: str | None
    notes: tuple[str, ...]
    code: str
    formula: str = ""
    numbers: tuple[Number, ...] = ()
    effective: tuple[EffectiveLr, ...] = ()
    unsettled: str | None = None
    facts: tuple[Fact, ...] = ()
    facts_after: tuple[Fact, ...] = ()
    facts_of: str = ""
    schedule: tuple[Level, ...] = ()
    schedule_after: tuple[Level, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "spec": self.spec,
            "framework": self.framework,
            "rule": self.title,
            "formula": self.formula,
            "numbers": [
                {
                    "name": n.name,
                    "value": n.value,
                    "units": str(n.units),
                    "exponents": {base: str(exponent) for base, exponent in n.units._asdict().items()},
                    "becomes": n.becomes,
                }
                for n in self.numbers
            ],
            "schedule": [level._asdict() for level in self.schedule],
            "schedule_after": [level._asdict() for level in self.schedule_after],
            "effective_lr": [row._asdict() for row in self.effective],
            "unsettled": self.unsettled,
            "facts": [fact._asdict() for fact in self.facts],
            "facts_after": [fact._asdict() for fact in self.facts_after],
            "change": {
                **vars(self.change),
                "reduction": None if self.change.batch == 1 else self.change.reduction or "mean",
                "reduction_assumed": self.change.batch != 1 and self.change.reduction is None,
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
        try:
            reading = read(text)
        except NoRuleError as reason:
            spec = parse(text)
            if is_schedule(spec):
                return _of_schedule(spec, change)
            return _of_unruled(read_unruled(text, str(reason)), change)
        return _of_reading(reading, change)
    except ValueError as error:
        head = short(text).partition("(")[0]
        if isinstance(error, SpecError) or head in str(error):
            raise
        raise ValueError(f"{short(text)}: {error}") from error
    except ArithmeticError as error:
        raise ValueError(f"{short(text)}: a number is too large or too small to compute with ({error})") from error


def _of_reading(reading: Reading, change: Change) -> Explanation:
    rule, hyper = reading.rule, reading.hyper

    found = rescale(rule, hyper, **vars(change))
    levels = 1.0
    if reading.curve is not None and not change.is_none:  # of an lr of 1, since that of the schedule may be 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BatchRuleWarning)
            levels = rescale(rule, hyper._replace(lr=1.0), **vars(replace(change, hold=None))).hyper.lr
    inside, inner = innermost(rule, hyper)
    rows, unsettled = effective_lrs(rule, hyper, reading.curve, reading.first)
    code = reading.write(found.hyper, levels, change.fewer_steps)
    exactness, seen = _seen(reading.text, code, change, found.exactness, inside.facts.in_bfloat16)
    numbers = tuple(
        Number(name, float(value), rule.units[name], float(getattr(found.hyper, name)))
        for name, value in zip(hyper._fields, hyper, strict=True)
        if value is not None
    )
    _check_range(reading.text, numbers)
    after = None if reading.curve is None or change.is_none else reading.curve.rescaled(levels, change.fewer_steps)
    return Explanation(
        spec=reading.text,
        framework=reading.framework,
        title=repr(rule),
        formula=formula_of(inside),
        numbers=numbers,
        effective=rows,
        unsettled=unsettled,
        facts=_facts(rule, hyper),
        facts_after=() if change.is_none else _facts(rule, found.hyper),
        facts_of=repr(inside),
        change=replace(change, method=found.method),
        exactness=exactness,
        notes=(*reading.notes, *found.notes, *_counted(reading.curve, change), *seen),
        code=code,
        schedule=_levels(reading.curve),
        schedule_after=_levels(after),
    )


def _counted(found: Curve | None, change: Change) -> tuple[str, ...]:
    """What a scheduler of torch counts is for the training loop to say."""
    if found is None or found.lr is None or change.fewer_steps == 1:
        return ()
    name = found.part.name
    return (
        f"{name} is taken to be stepped with the optimizer; where the loop steps it once an epoch, it counts epochs, which "
        "another batch leaves as they are",
    )


def _facts(rule: Rule | Wrapper, hyper: Any) -> tuple[Fact, ...]:
    """Of the rule inside, with what a clip around it bounds."""
    inside, inner = innermost(rule, hyper)
    found = list(facts(inside, inner))
    largest = clipped_to(rule, hyper)
    for i, fact in enumerate(found):
        if fact.value is not None and math.isnan(fact.value):
            found[i] = fact._replace(value=None, said="not known for these numbers")
        if fact.name == "largest step of a coordinate" and fact.value in (None, math.inf) and largest is not None:
            bound = _clipped_step(inside, inner, largest)
            if bound is not None:
                said = f"{bound:.4g}, whatever the gradients were: they are clipped to {largest:.4g} before the rule"
                found[i] = fact._replace(value=bound, said=said)
    return tuple(found)


def _clipped_step(rule: Rule, hyper: Any, largest: float) -> float | None:
    """The largest step of a rule that is linear in its gradients, without coupled decay."""
    if getattr(hyper, "weight_decay", 0) or getattr(hyper, "lambd", 0) or getattr(hyper, "momentum", 0) < 0:
        return None
    try:
        steady = [steady_effective_lr(rule, hyper, gradient) for gradient in (1.0, 1e-3)]
    except NoLaw:
        return None
    return steady[0] * largest if math.isclose(*steady) else None


def _levels(found: Curve | None) -> tuple[Level, ...]:
    if found is None:
        return ()
    return (
        Level("start", *found.start, False), Level("peak", *found.peak, False), Level("end", *found.end, found.rests)
    )  # fmt: skip


def _check_range(text: str, numbers: tuple[Number, ...]) -> None:
    for n in numbers:
        if n.value and math.isfinite(n.value) and not sys.float_info.min <= abs(n.becomes) <= sys.float_info.max:
            raise ValueError(
                f"{short(text)}: {n.name} would be {n.becomes:g}, beyond what a number in floating point holds"
            )


def _seen(
    text: str, code: str, change: Change, exactness: str, rounded: bool = False
) -> tuple[str | None, tuple[str, ...]]:
    """How exact the answer is, after its code was run: "bitwise" is said of what was seen to be."""
    if change.is_none:
        return None, ()
    if change.steps != 1 or change.examples != 1:
        try:
            run(code, {"matrix": (4, 3)})
        except SpecError as error:
            raise ValueError(f"{short(text)}: no answer: {error}") from error
        except Exception as error:
            return exactness, (f"the code was not run: {error}",)
        return exactness, ()
    seen = beside(text, code, loss=change.of_loss, params=change.params)
    if seen.off is not None and seen.off > SAME and not rounded:
        raise ValueError(
            f"{short(text)}: no answer: {short(code)} was {seen.said}. Nearest: 'lrtheory dims' shows its units"
        )
    if exactness == "bitwise" and seen.off != 0:
        exactness = "exact"
    return exactness, (seen.said,)


def _of_schedule(spec: Spec, change: Change) -> Explanation:
    """The lr alone; what else there is to say is the optimizer's."""
    if change.of_loss != 1 or change.params != 1 or change.tokens or change.hold or change.method:
        raise ValueError(
            f"{short(spec.text)} is a schedule: what becomes of its lr under another loss or other parameters, by a method, of tokens "
            "and of decay is for its optimizer to say. Nearest: write the optimizer with this schedule as its lr"
        )
    change.check()
    first = spec.args[0] if spec.args else spec.kwargs.get("optimizer")
    made = part(first) if isinstance(first, Spec) and first.called else None
    given = made.value("lr") if made is not None and is_torch(made.factory) else None
    found = curve(spec, given if isinstance(given, float) else None)
    after = found if change.is_none else found.rescaled(1.0, change.fewer_steps)
    alone = "its steps are divided by the batch and multiplied by the length, its lr is left as it is"
    told = f"{short(made.spec.text)} is none of our rules" if made and found.lr else "give its optimizer to have both"
    notes = (f"a schedule alone: {alone}; {told}",)
    return Explanation(
        spec=spec.text, framework=spec.name.partition(".")[0], title="a schedule", change=change, exactness=None, notes=notes,
        code=after.text, schedule=_levels(found), schedule_after=() if change.is_none else _levels(after),
    )  # fmt: skip


def _of_unruled(unruled: Unruled, change: Change) -> Explanation:
    """Units and the change of loss and parameters; what else is not known is said."""
    new, exactness, notes = unruled.rescaled(change)
    target = unruled.target
    code = target.write(new)
    seen_as, seen = _seen(target.text, code, change, exactness)
    numbers = tuple(
        Number(name, value, unruled.found.hyper[name], new[name])
        for name, value in target.numbers.items()
        if name in unruled.found.hyper
    )
    _check_range(target.text, numbers)
    of_lr = [curve for name, curve in target.curves.items() if name.rpartition(".")[2] in (*RATES, "step_size_fn")]
    only = of_lr[0] if len(of_lr) == 1 else None
    return Explanation(
        spec=target.text,
        framework=target.framework,
        title="none of the rules of this package",
        numbers=numbers,
        change=change,
        exactness=seen_as,
        notes=(*notes, *seen),
        code=code,
        schedule=_levels(only),
    )


def formula_of(rule: Rule) -> str:
    """LaTeX of the rule's formula, from its docstring."""
    text = inspect.getdoc(rules.factory_of(rule)) or ""
    block = re.search(r"^\.\. math::\n((?:[ ]{4}.*\n|\n)+)", text, re.MULTILINE)
    if block is None:
        return ""
    formula = inspect.cleandoc(block.group(1))
    if rule.options.get("decoupled"):
        return re.sub(r".*\(coupled\) *\\\\\n", "", formula).replace(r" \;(decoupled)", "")
    # Of the term the minus, and all up to what marks it.
    return re.sub(r" - lr [^-]*\(decoupled\)", "", formula).replace(r" \qquad (coupled)", "")
