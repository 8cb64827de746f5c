"""SPECs of torch.optim, read without torch."""

from __future__ import annotations

from typing import Any

from .. import rules
from ..names.torch import CLASSES, EXECUTION, NAMES, POSITIONAL
from ..rules import Rule
from . import written
from .reading import NoRuleError, Reading, made
from .text import Spec, SpecError


def read_torch(spec: Spec) -> Reading:
    """The rule and its numbers; ``params`` may be left out, or stand first under any name."""
    name = spec.name.removeprefix("torch.optim.")
    if name not in CLASSES:
        if name.lower() in rules.ABSENT:
            raise NoRuleError(f"{spec.text}: {rules.ABSENT[name.lower()]}")
        raise NoRuleError(f"{spec.text} is none of torch.optim's {', '.join(CLASSES)}")
    params, given = _arguments(spec, name)
    rule_name, fixed = CLASSES[name]
    names = NAMES[rule_name]
    options: dict[str, Any] = dict(fixed)
    if rule_name == "adafactor":
        options["machine_eps"] = "eps" not in given or not isinstance(given["eps"], tuple) or given["eps"][0] is None
    factory = rules.get(rule_name)
    for option in factory().options:
        argument = names.options.get(option, option)
        if argument in given:
            options[option] = given[argument]
    if name == "Adam" and given.get("decoupled_weight_decay"):
        options["decoupled"] = True
    try:
        rule: Rule = factory(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{spec.text}: {error}") from error
    numbers = {}
    for number in rule.Hyper._fields:
        argument = names.argument(number)
        entry = None
        if isinstance(argument, tuple):
            argument, entry = argument
        if argument in given:
            value = _entry(spec, argument, given[argument], entry)
            if value is not None:
                numbers[number] = value
    # Adam without decoupled= has a default decay of 0 even where AdamW's is 0.01.
    if name == "Adam" and options.get("decoupled"):
        numbers.setdefault("weight_decay", 0.0)
    hyper = made(spec, rule, numbers)

    def write(new: Any, batch: float) -> str:
        shown = dict(given)
        for argument, value in names.arguments({}, new).items():
            before = names.arguments({}, hyper)[argument]
            if argument in given or value != before:
                shown[argument] = value
        order = [*POSITIONAL[name], *shown]
        return written.call(spec.name, dict(sorted(shown.items(), key=lambda item: order.index(item[0]))), params)

    notes = tuple(
        f"{argument} says how to compute and changes no number" for argument in given if argument in EXECUTION
    )
    return Reading(spec.text, "torch", rule, hyper, write, notes)


def _arguments(spec: Spec, name: str) -> tuple[str, dict[str, Any]]:
    """What stands for the parameters, and all other arguments by name."""
    args, kwargs = list(spec.args), dict(spec.kwargs)
    params = "params"
    if args and isinstance(args[0], Spec):
        params = args.pop(0).text
    elif isinstance(kwargs.get("params"), Spec):
        params = kwargs.pop("params").text
    positional = POSITIONAL[name]
    if len(args) > len(positional):
        raise SpecError(f"{spec.text}: {len(args)} arguments by position, but {name} takes {', '.join(positional)}")
    given = dict(zip(positional, args, strict=False))
    twice = set(given) & set(kwargs)
    if twice:
        raise SpecError(f"{spec.text}: {', '.join(sorted(twice))} given twice")
    given.update(kwargs)
    rule_name, _ = CLASSES[name]
    names = NAMES[rule_name]
    known = {names.options.get(option, option) for option in rules.get(rule_name)().options} | {
        "decoupled_weight_decay"
    }
    unknown = [a for a in given if a not in (*positional, *EXECUTION, *known) or (a == "decoupled_weight_decay" and name not in ("Adam", "NAdam", "RAdam"))]  # fmt: skip
    if unknown:
        raise SpecError(
            f"{spec.text}: torch.optim.{name} has no argument {unknown[0]!r}: it has {', '.join(positional)}"
        )
    return params, given


def _entry(spec: Spec, argument: str, value: Any, entry: int | None) -> Any:
    if entry is None:
        return value
    if not isinstance(value, tuple) or len(value) <= entry:
        raise SpecError(f"{spec.text}: {argument}={written.value(value)} must be a tuple, as in betas=(0.9, 0.999)")
    return value[entry]
