"""Numbers that a constructor takes and no step can read."""

from __future__ import annotations

import gc
import inspect
import re
import sys
import weakref
from collections.abc import Mapping
from dataclasses import is_dataclass
from string import digits
from types import FunctionType, ModuleType
from typing import Any

import torch

from .._code import codes, takes, texts
from .arguments import argument_of
from .numbers import Carried, UnitFloat

# Methods that put numbers in their place, or show them, and Python's own list of the attributes that methods set (3.13).
_KEEPERS = ("__init__", "__setstate__", "__repr__", "__str__", "__static_attributes__")
# What every optimizer reads, whatever is kept in it.
_GROUPS = ("param_groups", "defaults", "state")
# Places of a text that is filled in.
_FILLED = re.compile(r"%[a-z]|\{.*?\}")
# Modules of the standard library whose objects hold code of others, and those whose objects hold none of an optimizer.
_HOLD = {"__main__", "builtins", "collections", "functools", "types"}
_FOREIGN = {*sys.stdlib_module_names, "numpy", "torch"} - _HOLD


def watched(numbers: Mapping[str, Any]) -> dict[str, weakref.ref[Any]]:
    """References by which to see which of these floats with units a constructor let go, once they are in no other hands."""
    return {name: weakref.ref(x) for name, x in numbers.items() if isinstance(x, UnitFloat)}


def out_of_reach(factory: Any, instance: Any, numbers: Mapping[str, weakref.ref[Any]]) -> set[str]:
    """Those that are gone, or kept under names alone that no code of the optimizer mentions beside its constructor."""
    names = {name: _spelled(re.findall(r"[^\W\d]\w*", name)[-1]) for name in numbers}
    places = {id(instance)}

    def look(words: tuple[str, ...], x: Any) -> None:
        if isinstance(x, Carried):
            names.get(x.value.name, set()).update(*map(_spelled, words))
        elif isinstance(x, (dict, list, tuple)) and id(x) not in places:
            places.add(id(x))
            for key, entry in x.items() if isinstance(x, dict) else ((None, entry) for entry in x):
                look((*words, key) if isinstance(key, str) and key not in _GROUPS else words, entry)
        elif is_dataclass(x) and hasattr(x, "__dict__"):
            places.add(id(x))
            look(words, vars(x))

    look((), vars(instance))
    mentioned = _mentioned(instance, places)
    helpers = [x for x in vars(instance).values() if not isinstance(x, (torch.Tensor, Carried))]
    classes = {base for x in (type(instance), factory, *map(type, helpers)) for base in getattr(x, "__mro__", ())}
    made = [vars(base).get(name) for base in classes for name in ("__init__", "__new__")]
    constructors = [f for x in made if inspect.isfunction(f := getattr(x, "__func__", x))]
    constructors += [] if isinstance(factory, type) else [factory]

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


def _spelled(word: str) -> set[str]:
    """The word, and what it is made of where code fills in the rest: ``f"beta{i}"``, ``f"{kind}_momentum"``."""
    bars = [i for i, letter in enumerate(word) if letter == "_"]
    return {word, word.rstrip(digits), *(word[: i + 1] for i in bars if i), *(word[i:] for i in bars)} - {"", "_"}


def _mentioned(instance: Any, places: set[int]) -> set[str]:
    """All names and texts in the code that an optimizer leads to, but for keys of the places where it keeps numbers."""
    words, seen, left = set[str](), dict[int, Any](), [instance]
    while left:
        x = left.pop()
        kind = type(x)  # isinstance() would run the code of some
        if id(x) in seen or issubclass(kind, (torch.Tensor, Carried, ModuleType)):
            continue
        seen[id(x)] = x
        if kind is str:
            words.update(_FILLED.split(x))
        elif issubclass(kind, type):
            own = x in type(instance).__mro__
            left += [] if _is_foreign(x) else [m for n, m in vars(x).items() if not (own and n in _KEEPERS)]
            left += x.__bases__
        elif kind is FunctionType:
            left += [] if _is_foreign(x) else [*_led_to(x), vars(x), x.__closure__, x.__defaults__, x.__kwdefaults__]
        elif id(x) in places and kind is dict:
            left += x.values()
        elif not _is_foreign(kind):
            left += gc.get_referents(x)
    return words


def _led_to(function: Any) -> list[Any]:
    """The names and texts of a function and those inside it, and what the names are in its module and those that it uses."""
    inside = list(codes(function.__code__))
    names = {name for code in inside for name in code.co_names}
    package, scopes = function.__globals__.get("__package__"), [function.__globals__]
    imported = [m for n in names if (m := sys.modules.get(f"{package}.{n}") or sys.modules.get(n))]
    scopes += [vars(m) for m in imported if not _is_foreign(m)]
    found = []
    for scope in scopes:
        here = [scope[name] for name in names if name in scope]
        found += [x for x in here if type(x) is not ModuleType]
        modules = [vars(x) for x in here if type(x) is ModuleType and not _is_foreign(x)]
        scopes += [names_of for names_of in modules if all(names_of is not other for other in scopes)]
    return [*found, *(word for c in inside for word in (*texts(c), *c.co_varnames, *c.co_freevars))]


def _is_foreign(x: Any) -> bool:
    module = x.__name__ if type(x) is ModuleType else str(x.__module__)
    if module.startswith("torch.optim"):
        return x is torch.optim.Optimizer
    return module.partition(".")[0] in _FOREIGN or module.startswith("lrtheory.dims.")
