"""SPECs of torch.optim, read without torch; with a scheduler around them, by torch's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import rules
from ..names.torch import CLASSES, EXECUTION, NAMES, POSITIONAL
from ..rules import Rule
from ._names import SCHEDULERS, resolve
from ._reading import NoRuleError, Reading, made
from .curves import curve
from .parts import Part, by_name
from .text import Spec, SpecError, Unread, call, nearest, short, written


def read_torch(spec: Spec) -> Reading:
    """The rule and its numbers; ``params`` may be left out, or stand first under any name."""
    if spec.module is not None or spec.name.startswith(SCHEDULERS):
        return _scheduled(spec)
    name = spec.name.rpartition(".")[2]
    if name not in CLASSES or spec.name not in (f"torch.optim.{name}", f"torch.optim.{name.lower()}.{name}"):
        if reason := rules.ABSENT.get(name.lower()):
            raise NoRuleError.of(spec, reason)
        if spec.name.startswith("torch.optim."):
            raise SpecError.of(
                spec, f"torch.optim has no {name!r}{nearest(name, CLASSES)}; it has {', '.join(CLASSES)}"
            )
        resolve(spec)
        raise NoRuleError(f"{short(spec.text)} is none of torch.optim's {', '.join(CLASSES)}")
    names = NAMES[CLASSES[name][0]]
    params, given = by_name(spec, _signature(name), "params")
    rule, numbers = torch_rule(name, given, short(spec.text))
    arguments = {number: names.argument(number) for number in numbers}
    words = {n: f"{a[0]}[{a[1]}]" if isinstance(a, tuple) else a for n, a in arguments.items()}
    hyper = made(spec, rule, numbers, words)

    def write(new: Any, lr: float, batch: float) -> str:
        shown, before = dict(given), names.arguments({}, hyper)
        for argument, value in names.arguments({}, new).items():
            if value != before[argument]:
                shown[argument] = list(value) if isinstance(given.get(argument), list) else value
        order = [*POSITIONAL[name], *shown]
        return call(spec.name, dict(sorted(shown.items(), key=lambda item: order.index(item[0]))), params)

    notes = tuple(
        f"{argument} says how to compute and changes no number" for argument in given if argument in EXECUTION
    )
    return Reading(spec.text, "torch", rule, hyper, write, notes)


def torch_rule(name: str, given: Mapping[str, Any], text: str) -> tuple[Rule, dict[str, Any]]:
    """The rule that a class of torch.optim is with these arguments, and those of its numbers that are given.

    ``given`` are arguments by name, or a group of a live optimizer, which has all of them.

    Raises
    ------
    SpecError
        For options that do not go together, said of ``text``.
    """
    rule_name, fixed = CLASSES[name]
    names, factory = NAMES[rule_name], rules.get(rule_name)
    options: dict[str, Any] = dict(fixed)
    if rule_name == "adafactor":
        eps = given.get("eps")
        options["machine_eps"] = not isinstance(eps, (list, tuple)) or not eps or eps[0] is None
    for option in factory().options:
        argument = names.options.get(option, option)
        if argument is not None and argument in given:
            options[option] = given[argument]
    if rule_name == "adam":
        options["decoupled"] = bool(given.get("decoupled_weight_decay", options.get("decoupled", False)))
    try:
        rule: Rule = factory(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{text}: {error}") from error
    numbers = {}
    for number in rule.Hyper._fields:
        argument = names.argument(number)
        argument, entry = argument if isinstance(argument, tuple) else (argument, None)
        value = given.get(argument)
        if argument in given and entry is not None:
            size = names.entries(argument)
            if not isinstance(value, (list, tuple)) or len(value) != size:
                raise SpecError(
                    f"{text}: {argument}={written(value)} must be a tuple of {size} numbers, as in betas=(0.9, 0.999)"
                )
            value = value[entry]
        if value is not None or (argument in given and entry is None):  # None is an entry, as in Adafactor's eps
            numbers[number] = value
    # Adam without decoupled= has a default decay of 0 even where AdamW's is 0.01.
    if name == "Adam" and options.get("decoupled"):
        numbers.setdefault("weight_decay", 0.0)
    return rule, numbers


def torch_fields(name: str) -> set[str]:
    """The arguments of a class that its groups have as fields."""
    return {*_signature(name), *(["decoupled_weight_decay"] if CLASSES[name][0] == "adam" else [])}


def _signature(name: str) -> dict[str, inspect.Parameter]:
    """The arguments of a class as they are written down, after the parameters."""
    positional = POSITIONAL[name]
    names = NAMES[CLASSES[name][0]]
    options = [names.options.get(option, option) or "" for option in rules.get(CLASSES[name][0])().options]
    if name == "Adam":
        options.append("decoupled_weight_decay")
    kinds = dict.fromkeys((*EXECUTION, *filter(None, options)), inspect.Parameter.KEYWORD_ONLY)
    kinds |= dict.fromkeys(positional, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {n: inspect.Parameter(n, kinds[n]) for n in (*positional, *(k for k in kinds if k not in positional))}


def _scheduled(spec: Spec) -> Reading:
    """A scheduler around its optimizer."""
    first = spec.kwargs.get("optimizer", spec.args[0] if spec.args else None)
    if not isinstance(first, Spec) or not first.called:
        raise NoRuleError(f"{short(spec.text)} is a schedule, whose optimizer is not given")
    if not first.name.startswith("torch.optim."):
        raise NoRuleError(f"{short(spec.text)} is a schedule of {short(first.text)}, which is none of our rules")
    inside = read_torch(first)
    found = curve(spec, float(inside.hyper.lr))
    hyper, kept, notes = inside.hyper._replace(lr=found.peak.lr), {}, inside.notes
    if found.momentum is not None:
        scheduler, (at_peak, least, largest) = found.part.name, found.momentum
        name = next((n for n in ("beta1", "momentum") if n in hyper._fields), None)
        if name is None:
            raise SpecError(
                f"{short(spec.text)}: {scheduler} moves momentum, and {first.name} has none; cycle_momentum=False leaves it alone"
            )
        hyper, kept = hyper._replace(**{name: at_peak}), {name: getattr(hyper, name)}
        told = f"{scheduler} moves {name} between {least:g} and {largest:g}, whatever {first.name} is given"
        notes = (
            *notes,
            f"{told}: {at_peak:g} is that at the peak of lr; cycle_momentum=False leaves it as it is given",
        )

    def write(new: Any, lr: float, batch: float) -> str:
        for name in kept:
            if getattr(new, name) != getattr(hyper, name):
                raise ValueError(
                    f"{name} would become {getattr(new, name):g}, and {found.part.name} moves it. Nearest: cycle_momentum=False, or a "
                    "method that leaves it, such as half-life"
                )
        base = new._replace(lr=inside.hyper.lr * lr, **kept)
        after = found.rescaled(lr, batch).part if (lr, batch) != (1, 1) else found.part
        optimizer = inside.write(base, lr, batch)
        if name := _shared(
            found.part
        ):  # named where it comes first, so that the schedulers inside are given the same one
            optimizer = f"{name} := {optimizer}"
        if after.first is None:  # ChainedScheduler takes it last
            return replace(after, given={"optimizer": Unread(f"({optimizer})"), **after.given}).write()
        return replace(after, first=Unread(optimizer)).write()

    return Reading(spec.text, "torch", inside.rule, hyper, write, notes, found)


def _shared(scheduler: Part) -> str:
    """What schedulers inside another one call the optimizer of all; "" where there are none.

    Raises
    ------
    SpecError
        Where one has an optimizer of its own: torch refuses it.
    """
    names = {p.first.text for p in scheduler.all() if p is not scheduler and p.first is not None}
    if len(names) > 1 or not all(name.isidentifier() for name in names):
        own = next(filter(str.isidentifier, sorted(names)), "optimizer")
        others = ", ".join(sorted(names - {own}))
        why = f"the schedulers inside act on the optimizer of all; write {own} in them in the place of {others}"
        raise SpecError.of(scheduler.spec, why)
    return next(iter(names), "")
