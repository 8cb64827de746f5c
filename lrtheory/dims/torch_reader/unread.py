"""Numbers that a constructor takes and no step can read."""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import torch

from .arguments import entries_of
from .numbers import Carried, UnitFloat

# Methods that put numbers in their place, or show them.
_KEEPERS = ("__init__", "__setstate__", "__repr__", "__str__")


def watched(numbers: dict[str, Any]) -> dict[str, weakref.ref[Any]]:
    """References by which to see which of these floats with units a constructor let go, once they are in no other hands."""
    return {name: weakref.ref(x) for name, x in numbers.items() if isinstance(x, UnitFloat)}


def out_of_reach(instance: Any, numbers: Mapping[str, weakref.ref[Any]]) -> set[str]:
    """Those that are gone, or kept under names that no code of the optimizer mentions beside its constructor."""
    kept: dict[str, set[str]] = {name: set() for name in numbers}
    for path, number in (found for key, x in vars(instance).items() for found in entries_of(key, x)):
        if isinstance(number, Carried) and number.value.name in kept:
            kept[number.value.name].add(re.findall(r"[^\W\d]\w*", path)[-1])
    helpers = [x for x in vars(instance).values() if not isinstance(x, torch.Tensor)]
    classes = {base for x in (instance, *helpers) for base in type(x).__mro__} - {torch.optim.Optimizer, object}
    methods = [x for base in classes for name, x in vars(base).items() if name not in _KEEPERS]
    mentioned = set(_mentioned([*methods, *helpers]))
    return {name for name, words in kept.items() if not words & mentioned and (words or numbers[name]() is None)}


def _mentioned(functions: list[Any]) -> Iterator[str]:
    """All names and texts in functions, in those inside them, and in those that they call by name."""
    left, seen = functions, set[CodeType]()
    while left:
        function = left.pop()
        function = getattr(function, "fget", None) or getattr(function, "__func__", function)
        function = inspect.unwrap(function) if inspect.isfunction(function) else function
        code = getattr(function, "__code__", function)
        if not isinstance(code, CodeType) or code in seen:
            continue
        seen.add(code)
        yield from (*code.co_names, *code.co_varnames, *code.co_freevars)
        for constant in code.co_consts:
            yield from (x for x in (constant if isinstance(constant, tuple) else (constant,)) if isinstance(x, str))
            if isinstance(constant, CodeType):
                left.append(constant)
        scope = getattr(function, "__globals__", {})
        modules = [scope[name] for name in code.co_names if isinstance(scope.get(name), ModuleType)]
        found = [names[name] for names in (scope, *map(vars, modules)) for name in code.co_names if name in names]
        left += [x for x in found if inspect.isfunction(x) and not _is_of_torch(x)]


def _is_of_torch(function: Any) -> bool:
    return function.__module__.startswith("torch") and not function.__module__.startswith("torch.optim")
