"""What a target of a known name should equal."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from lrtheory import rules
from lrtheory.names import optax
from lrtheory.names.torch import CLASSES
from lrtheory.spec import torch_fields, torch_rule
from lrtheory.spec.text import is_number

from .targets import Target, resolve

#: A rule with the options and numbers that a target should equal.
_Match = tuple[str, dict[str, Any], dict[str, Any]]


def reference_for(target: Target) -> Target | None:
    """Our rule of the same name with the same numbers, or ``None`` where there is none or its arguments have no match."""
    make, given = getattr(target, "make", None) or getattr(target, "made", None), getattr(target, "given", {})
    found = _beside_torch(make, given) if target.kind == "torch" else _beside_optax(make, given)
    if found is None:
        return None
    rule, options, numbers = found
    arguments = ", ".join(f"{name}={value!r}" for name, value in {**options, **numbers}.items())
    return resolve(f"{rule}({arguments})")


def _beside_torch(make: Any, given: Mapping[str, Any]) -> _Match | None:
    if not isinstance(make, type) or not f"{make.__module__}.".startswith("torch.optim."):
        return None
    if make.__name__ not in CLASSES or not given.keys() <= torch_fields(make.__name__):
        return None
    rule, numbers = torch_rule(make.__name__, given, make.__name__)
    ours = rule.name
    plain = rules.get(ours)().options
    options = {name: value for name, value in rule.options.items() if value != plain[name]}
    return (ours, options, numbers) if all(map(is_number, numbers.values())) else None


def _beside_optax(make: Any, given: Mapping[str, Any]) -> _Match | None:
    module, factory = getattr(make, "__module__", "").partition(".")[0], getattr(make, "__name__", "")
    if module != "optax" or factory not in optax.NAMES:
        return None
    name = optax.NAMES[factory]
    options: dict[str, Any] = dict(name.options)
    numbers: dict[str, Any] = {}
    for parameter in inspect.signature(make).parameters.values():
        argument, value = parameter.name, given.get(parameter.name, parameter.default)
        if argument in name.numbers and is_number(value):
            numbers[name.numbers[argument]] = value
        elif argument in name.switches and isinstance(value, bool):
            options[name.switches[argument]] = value
        elif (argument in name.required and value != name.required[argument]) or (
            argument not in name.required and value != parameter.default
        ):
            return None
    return name.rule, options, numbers
