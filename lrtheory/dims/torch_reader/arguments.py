"""The numbers among a constructor's arguments, taken apart by name and put back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ...units import Units

Numbers = dict[str, Any]


def default_numbers(optimizer: Any, given: Mapping[str, Any]) -> tuple[Numbers, dict[str, Any]]:
    """The numbers of a constructor, by name, and its other arguments.

    An entry of a list is ``betas[0]``, a field of a dataclass ``config.lr``.

    All floats are numbers, and integers unless their annotation says that they are no floats: counts.
    """
    numbers: Numbers = {}
    others: dict[str, Any] = {}
    parameters = dict(inspect.signature(optimizer).parameters)
    parameters.pop("params", None)
    for name, parameter in parameters.items():
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if variable or (name not in given and parameter.default is parameter.empty):
            continue
        value = given.get(name, parameter.default)
        entries = dict(entries_of(name, value))
        annotation = "" if parameter.annotation is parameter.empty else str(parameter.annotation)
        real = "float" in annotation or any(isinstance(v, float) for v in (parameter.default, *entries.values()))
        if annotation and not real:
            entries = {}
        numbers |= entries
        if name in given or (entries and name not in entries):
            others |= {} if name in entries else {name: value}
    for name in set(given) - set(parameters):
        entries = dict(entries_of(name, given[name]))
        numbers |= entries
        others |= {} if name in entries else {name: given[name]}
    return numbers, others


def entries_of(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The numbers in a value, by where they stand in it."""
    if isinstance(value, (list, tuple)):
        for i, entry in enumerate(value):
            yield from entries_of(f"{path}[{i}]", entry)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from entries_of(f"{path}[{key!r}]", entry)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            entry = getattr(value, part.name)
            if part.init and (not isinstance(entry, int) or part.type in (float, "float")):  # others count
                yield from entries_of(f"{path}.{part.name}", entry)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


def argument_of(number: str) -> str:
    """The constructor's argument in which a number stands."""
    return re.split(r"[.\[]", number, maxsplit=1)[0]


def constructor_arguments(numbers: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments, with the entries of lists put back."""
    plain = {name: value for name, value in numbers.items() if name == argument_of(name)}
    return {**{name: _rebuilt(name, value, numbers) for name, value in others.items()}, **plain}


def _rebuilt(path: str, value: Any, numbers: Mapping[str, Any]) -> Any:
    """A value with the numbers in their places; no closure, whose cycle would keep numbers that nobody else has."""
    if isinstance(value, (list, tuple)):
        return type(value)([_rebuilt(f"{path}[{i}]", entry, numbers) for i, entry in enumerate(value)])
    if isinstance(value, Mapping):
        return {key: _rebuilt(f"{path}[{key!r}]", entry, numbers) for key, entry in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        names = [part.name for part in fields(value) if part.init]
        return replace(value, **{n: _rebuilt(f"{path}.{n}", getattr(value, n), numbers) for n in names})
    return numbers.get(path, value)


def rescaled_numbers(numbers: Mapping[str, Any], units: Mapping[str, Units], loss: float, params: float) -> Numbers:
    """Numbers for another loss and other parameters; whole numbers that are pure stay whole."""
    pure = [name for name in numbers if name not in units or units[name].is_pure]
    return {n: x if n in pure else x * units[n].factor(loss, params) for n, x in numbers.items()}


def held_notes(optimizer: Any, numbers: Numbers, given: Mapping[str, Any]) -> Iterator[str]:
    """What of the constructor could be a number and was not followed."""
    whole, absent = [], []
    for name, parameter in inspect.signature(optimizer).parameters.items():
        value = given.get(name, parameter.default)
        kind = "" if parameter.annotation is parameter.empty else str(parameter.annotation)
        if isinstance(value, int) and not isinstance(value, bool) and name not in numbers:
            whole.append(f"{name} = {value}")
        elif value is None and ("float" in kind or not kind):
            absent.append(name)
    if whole:
        yield f"held as given: {', '.join(whole)}"
    if absent:
        yield f"left at None: {', '.join(absent)}"
