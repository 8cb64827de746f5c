"""What a target of a known name should equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrtheory import rules

from ..table import known_rules, row
from .targets import Target

#: Factory of optax → our rule, and their number → ours. Only those that are the same rule with the same numbers.
OPTAX: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "optax.sgd": ("sgd", {"momentum": "momentum"}),
    "optax.adam": ("adam", {"b1": "beta1", "b2": "beta2", "eps": "eps"}),
    "optax.adamw": ("adamw", {"b1": "beta1", "b2": "beta2", "eps": "eps", "weight_decay": "weight_decay"}),
    "optax.adamax": ("adamax", {"b1": "beta1", "b2": "beta2", "eps": "eps"}),
    "optax.lion": ("lion", {"b1": "beta1", "b2": "beta2", "weight_decay": "weight_decay"}),
    "optax.sign_sgd": ("signsgd", {}),
}


def reference_for(target: Target) -> Target | None:
    """Our rule of the same name with the same numbers, or ``None`` where there is none or its arguments have no match."""
    make, given = getattr(target, "make", None) or getattr(target, "made", None), getattr(target, "given", {})
    found = _beside_torch(make, given) if target.kind == "torch" else _beside_optax(make, given)
    if found is None:
        return None
    from .targets.resolve import resolve

    rule, options, numbers = found
    arguments = ", ".join(f"{name}={value!r}" for name, value in {**options, **numbers}.items())
    return resolve(f"{rule}({arguments})")


def _beside_torch(make: Any, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    if not isinstance(make, type) or not f"{make.__module__}.".startswith("torch.optim."):
        return None
    if make.__name__ == "AdamW":
        return _matched("adamw", given)
    for rule in known_rules():
        torch_row = row(rule).torch
        if torch_row is not None and torch_row.optimizer == make.__name__:
            return _matched(rule, given)
    return _matched("adam", given) if make.__name__ == "Adam" else None


def _matched(rule: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    made = rules.get(rule)()
    options, numbers = {}, {}
    for name, value in given.items():
        if name == "betas":
            numbers |= {"beta1": value[0], "beta2": value[1]}
        elif name in made.options and isinstance(value, bool):
            options[name] = value
        elif name in made.Hyper._fields and isinstance(value, (int, float)):
            numbers[name] = value
        elif name not in ("foreach", "fused", "capturable", "differentiable"):
            return None
    return rule, options, numbers


def _beside_optax(make: Any, given: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    name = f"{getattr(make, '__module__', '').partition('.')[0]}.{getattr(make, '__name__', '')}"
    if name not in OPTAX:
        return None
    import inspect

    rule, ours = OPTAX[name]
    known = {"learning_rate": "lr", **ours}
    options: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for parameter in inspect.signature(make).parameters.values():
        value = given.get(parameter.name, parameter.default)
        if parameter.name in known and isinstance(value, (int, float)):
            numbers[known[parameter.name]] = value
        elif parameter.name == "nesterov" and name == "optax.sgd" and value:
            options["nesterov"] = True
        elif value != parameter.default:
            return None
    return rule, options, numbers
