"""The arguments of a composition: those of all its parts, each by a name of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lrtheory.spec import Part
from lrtheory.spec.parts import plain
from lrtheory.spec.text import Unread, inside


@dataclass(frozen=True)
class Leaves:
    """Arguments of the parts of a tree that are no parts themselves.

    A name that several parts have is told by its place: ``1.learning_rate``.
    """

    places: Mapping[str, str]  # name → place in the tree
    arguments: Mapping[str, Any]  # by name, defaults included
    defaults: Mapping[str, Any]  # those that have one

    @classmethod
    def of(cls, parts: list[Part]) -> Leaves:
        """Of these parts of one tree."""
        owned = [(p, name) for p in parts for name in {**p.parameters, **p.given}]
        names = [name for _, name in owned]
        places = {p.path + name if names.count(name) > 1 else name: p.path + name for p, name in owned}
        values = {p.path + name: value for p in parts for name, value in {**defaults(p), **p.given}.items()}
        held = {p.path + name for p in parts for name, value in p.given.items() if _holds(value, parts)}
        arguments = {n: inside(values[at], _leaf) for n, at in places.items() if at in values and at not in held}
        stated = {p.path + name: value for p in parts for name, value in defaults(p).items()}
        return cls(places, arguments, {n: stated[at] for n, at in places.items() if at in stated})

    def changed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What is otherwise in other arguments, by place: for :meth:`Part.make`."""
        return {
            self.places[n]: v
            for n, v in given.items()
            if n in self.places and v is not self.arguments[n] and v != self.arguments[n]
        }

    def shown(self, place: str, argument: str) -> str:
        """The name of an argument of the part at a place."""
        return next(name for name, at in self.places.items() if at == place + argument)


def defaults(part: Part) -> dict[str, Any]:
    """The arguments of one part that have a default."""
    found = {k: p.default for k, p in part.parameters.items() if p.default is not inspect.Parameter.empty}
    return {k: value for k, value in found.items() if k not in ("params", "optimizer")}


def _holds(value: Any, parts: list[Part]) -> bool:
    found: list[bool] = []
    inside([value], lambda entry: found.append(any(entry is p for p in parts)))
    return any(found)


def _leaf(value: Any) -> Any:
    return value if isinstance(value, Part) or type(value) is Unread else plain(value)
