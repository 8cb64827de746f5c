"""SPECs of this package: ``adam(lr=1e-3)``, ``clip_by_global_norm(adam(), max_norm=1.0, homogeneous=True)``."""

from __future__ import annotations

import inspect
from typing import Any

from .. import rules, wrappers
from ..rules import Rule
from ..wrappers import Wrapper
from . import written
from .reading import Reading, made
from .text import Spec, SpecError

_WRAPPERS = ("accumulate", "average_weights", "clip_by_global_norm", "clip_by_norm", "clip_by_value")


def read_own(spec: Spec) -> Reading:
    """The rule, its numbers, and two lines of Python as code."""
    rule, numbers, code = _built(spec)
    hyper = made(spec, rule, numbers)

    def write(new: Any, batch: float) -> str:
        defaults = {name: getattr(hyper, name) for name in hyper._fields if name not in numbers}
        shown = {
            name: value
            for name, value in new._asdict().items()
            if value is not None and (name in numbers or value != defaults.get(name))
        }
        return f"rule = {code}\nhyper = {written.call('rule.hyper', shown)}"

    return Reading(spec.text, "lrtheory", rule, hyper, write)


def _built(spec: Spec) -> tuple[Rule | Wrapper, dict[str, Any], str]:
    """The rule, the numbers that were given, and the code that makes the rule."""
    name = spec.name.rpartition(".")[2]
    if name in _WRAPPERS:
        return _wrapped(spec, name)
    if name.lower() in rules.ABSENT or name not in rules.names():
        reason = rules.ABSENT.get(name.lower(), f"there are {', '.join([*rules.names(), *_WRAPPERS])}")
        raise SpecError(f"{spec.text}: no rule named {name!r}: {reason}")
    if spec.args:
        raise SpecError(f"{spec.text}: a rule takes arguments by name, as in {name}(lr=1e-3)")
    factory = rules.get(name)
    given = dict(spec.kwargs)
    if isinstance(given.get("betas"), tuple) and len(given["betas"]) == 2:
        given["beta1"], given["beta2"] = given.pop("betas")
    options = {n: v for n, v in given.items() if n in inspect.signature(factory).parameters}
    try:
        rule = factory(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{spec.text}: {error}") from error
    numbers = {n: v for n, v in given.items() if n not in options}
    return rule, numbers, written.call(f"lrtheory.rules.{name}", options)


def _wrapped(spec: Spec, name: str) -> tuple[Wrapper, dict[str, Any], str]:
    if len(spec.args) != 1 or not isinstance(spec.args[0], Spec):
        raise SpecError(f"{spec.text}: {name} is given a rule first, as in {name}(adam(lr=1e-3), ...)")
    inside, numbers, code = _built(spec.args[0])
    factory = getattr(wrappers, name)
    options = {n: v for n, v in spec.kwargs.items() if n in inspect.signature(factory).parameters}
    try:
        rule = factory(inside, **options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{spec.text}: {error}") from error
    own = {n: v for n, v in spec.kwargs.items() if n not in options}
    return rule, {**numbers, **own}, written.call(f"lrtheory.wrappers.{name}", options, code)
