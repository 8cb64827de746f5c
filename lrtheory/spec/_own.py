"""SPECs of this package: ``adam(lr=1e-3)``, ``clip_by_global_norm(adam(), max_norm=1.0, homogeneous=True)``."""

from __future__ import annotations

import inspect
from typing import Any

from ..rules import Rule
from ..wrappers import Wrapper
from ._names import WRAPPERS, resolve
from ._reading import Reading, made
from .text import Spec, SpecError, call


def read_own(spec: Spec) -> Reading:
    """The rule, its numbers, and two lines of Python as code."""
    rule, numbers, code = built(spec)
    hyper = made(spec, rule, numbers)

    def write(new: Any, lr: float, batch: float) -> str:
        shown = {
            name: value
            for name, value in new._asdict().items()
            if value is not None and (name in numbers or value != getattr(hyper, name))
        }
        return f"rule = {code}\nhyper = {call('rule.hyper', shown)}"

    return Reading(spec.text, "lrtheory", rule, hyper, write)


def built(spec: Spec) -> tuple[Rule | Wrapper, dict[str, Any], str]:
    """The rule, the numbers that were given, and the code that makes the rule."""
    name, factory = spec.name.rpartition(".")[2], resolve(spec)
    given, inside, code = dict(spec.kwargs), [], []
    if name in WRAPPERS and "wrappers" in factory.__module__:
        if len(spec.args) != 1 or not isinstance(spec.args[0], Spec) or not spec.args[0].is_rule:
            raise SpecError.of(spec, f"{name} is given a rule first, as in {name}(adam(lr=1e-3), ...)")
        rule, numbers, inner = built(spec.args[0])
        inside, code = [rule], [inner]
    elif spec.args:
        raise SpecError.of(spec, f"a rule takes arguments by name, as in {name}(lr=1e-3)")
    else:
        numbers = {}
        if isinstance(given.get("betas"), (list, tuple)) and len(given["betas"]) == 2:
            if twice := [name for name in ("beta1", "beta2") if name in given]:
                raise SpecError.of(spec, f"{twice[0]} is given twice, in betas too")
            given["beta1"], given["beta2"] = given.pop("betas")
    options = {n: v for n, v in given.items() if n in inspect.signature(factory).parameters}
    try:
        rule = factory(*inside, **options)
    except (TypeError, ValueError) as error:
        raise SpecError.of(spec, error) from error
    if not hasattr(rule, "hyper"):
        raise SpecError.of(spec, f"{name} is a schedule, not a rule")
    numbers |= {n: v for n, v in given.items() if n not in options}
    room = "wrappers" if inside else "rules"
    made_by = call(f"lrtheory.{room}.{name}", options)
    return rule, numbers, made_by.replace("(", f"({code[0]}{', ' if options else ''}", 1) if code else made_by
