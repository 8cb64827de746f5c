"""Torch's own optimizer database in our terms: constructor arguments to a rule, its options and its numbers.

The database ships in torch's wheel and is what torch's tests run its optimizers with.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from hypothesis import settings

from lrtheory import rules
from parity import table

RULE_OF = {
    "AdamW": ("adam", {"decoupled": True}),
    "SparseAdam": ("sparse_adam", {}),
    **{
        row.torch.optimizer: (name, {})
        for name in table.known_rules()
        if (row := table.row(name)).torch is not None and isinstance(row.torch.optimizer, str)
    },
    "Adam": ("adam", {}),
}


class Configuration(NamedTuple):
    """One entry of the database, in our terms."""

    optimizer: str
    description: str
    rule: str
    options: Mapping[str, Any]
    numbers: Mapping[str, Any]


def translated(optimizer: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Rule, options and numbers of a call of a constructor; an argument that is neither raises KeyError."""
    rule, options = RULE_OF[optimizer]
    torch_row = table.row(rule).torch
    assert torch_row is not None
    options, numbers = dict(options), {}
    names = {theirs: ours for ours, theirs in torch_row.options.items() if theirs is not None}
    pairs: dict[str, dict[int, str]] = {"betas": {0: "beta1", 1: "beta2"}}
    for ours, theirs in torch_row.numbers.items():
        if isinstance(theirs, tuple):
            pairs.setdefault(theirs[0], {})[theirs[1]] = ours
    known = rules.get(rule)()
    for name, value in arguments.items():
        if name in pairs:
            for position, ours in pairs[name].items():
                numbers[ours] = value[position]
        elif names.get(name, name) in known.options:
            options[names.get(name, name)] = value
        elif name in known.Hyper._fields:
            numbers[name] = value.double().numpy() if isinstance(value, torch.Tensor) else value
        else:
            raise KeyError(f"{rule} has neither an option nor a number {name!r}")
    if rule == "adafactor" and "eps1" in numbers:
        options["machine_eps"] = numbers["eps1"] is None
    return rule, options, {name: value for name, value in numbers.items() if value is not None}


@functools.cache
def database() -> Any:
    """Torch's module; it takes seconds to import, and so it is left until a test runs."""
    from torch.testing._internal import common_optimizers  # needs expecttest

    # torch's test library loads a Hypothesis profile of its own when it is imported.
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lrtheory"))
    return common_optimizers


def class_name(info: Any) -> str:
    return info.optim_cls.__name__


@functools.cache
def configurations() -> tuple[list[Configuration], list[tuple[str, str, str]]]:
    """Every configuration for a CPU that a rule expresses, and the others with the reason."""
    found, left_out = [], []
    for info in database().optim_db:
        name = class_name(info)
        for entry in info.optim_inputs_func(device="cpu", dtype=torch.float64):
            if name not in RULE_OF:
                left_out.append((name, entry.desc, "no rule of one step: LBFGS evaluates the loss many times a call"))
                continue
            rule, options, numbers = translated(name, entry.kwargs)
            numbers = {key: float(value) for key, value in numbers.items()}
            found.append(Configuration(name, entry.desc, rule, options, numbers))
    return found, left_out


@functools.cache
def errors() -> list[tuple[str, Any]]:
    """Every error case for a CPU: optimizer and entry."""
    return [
        (class_name(info), entry)
        for info in database().optim_db
        for entry in info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    ]


__all__ = ["RULE_OF", "Configuration", "configurations", "database", "errors", "translated"]
