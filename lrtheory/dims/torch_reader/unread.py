"""Numbers that a constructor takes and no step can read."""

from __future__ import annotations

import gc
import inspect
import re
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from string import digits
from types import CodeType, ModuleType
from typing import Any

import torch

from .._code import takes, texts
from .arguments import argument_of
from .numbers import Carried, UnitFloat

# Methods that put numbers in their place, or show them.
_KEEPERS = ("__init__", "__setstate__", "__repr__", "__str__")


def watched(numbers: Mapping[str, Any]) -> dict[str, weakref.ref[Any]]:
    """References by which to see which of these floats with units a constructor let go, once they are in no other hands."""
    return {name: weakref.ref(x) for name, x in numbers.items() if isinstance(x, UnitFloat)}


def out_of_reach(factory: Any, instance: Any, numbers: Mapping[str, weakref.ref[Any]]) -> set[str]:
    """Those that are gone, or kept under names alone that no code of the optimizer mentions beside its constructor."""
    names = {name: set(_spelled(re.findall(r"[^\W\d]\w*", name)[-1])) for name in numbers}
    places = {id(instance)}

    def look(word: str, x: Any) -> None:
        if isinstance(x, Carried):
            names.get(x.value.name, set()).update(_spelled(word))
        elif isinstance(x, (dict, list, tuple)) and id(x) not in places:
            places.add(id(x))
            for key, entry in x.items() if isinstance(x, dict) else ((word, entry) for entry in x):
                look(key if isinstance(key, str) else word, entry)
        elif is_dataclass(x) and hasattr(x, "__dict__"):
            places.add(id(x))
            look(word, vars(x))

    look("", vars(instance))
    helpers = [x for x in vars(instance).values() if not isinstance(x, (torch.Tensor, Carried))]
    classes = {base for x in (instance, *helpers) for base in type(x).__mro__} - {torch.optim.Optimizer, object}
    methods = [x for base in classes for name, x in vars(base).items() if name not in _KEEPERS]
    mentioned = set(_mentioned([*methods, *helpers]))
    constructors = [f for f in (factory, *(vars(base).get("__init__") for base in classes)) if inspect.isfunction(f)]

    def can_be_read(name: str, number: Any) -> bool:
        if number is None:  # it was let go: where a constructor looks at it, it might keep it with other options
            return any(_takes(constructor, name) for constructor in constructors)
        return any(id(holder) not in places for holder in gc.get_referrers(number))

    return {n for n, words in names.items() if not words & mentioned and not can_be_read(n, numbers[n]())}


def _takes(constructor: Any, number: str) -> bool:
    """Whether it looks at a number that was given by this name, or at all that it has no names for."""
    parameters = inspect.signature(constructor).parameters
    others = [p.name for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    word = argument_of(number)
    return any(takes(constructor, own) for own in ([word] if word in parameters else others))


def _spelled(word: str) -> tuple[str, str]:
    return word, word.rstrip(digits)  # f"beta{i}"


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
        yield from (*texts(code), *code.co_varnames, *code.co_freevars)
        left += [x for x in code.co_consts if isinstance(x, CodeType)]
        scope = getattr(function, "__globals__", {})
        modules = [scope[name] for name in code.co_names if isinstance(scope.get(name), ModuleType)]
        found = [names[name] for names in (scope, *map(vars, modules)) for name in code.co_names if name in names]
        left += [x for x in found if inspect.isfunction(x) and not _is_of_torch(x)]


def _is_of_torch(function: Any) -> bool:
    return function.__module__.startswith("torch") and not function.__module__.startswith("torch.optim")
