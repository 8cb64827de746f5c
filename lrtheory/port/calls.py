"""Code as data: a call by name that can be written down, and made."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..spec import Unread, call


@dataclass(frozen=True)
class Call:
    """A call.

    Attributes
    ----------
    name : str
        With its package, such as ``optax.adamw``.
    arguments : mapping
        By name; calls among them are calls.
    first : tuple
        By position, before them.
    suffix : str
        What stands behind it.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    first: tuple[Any, ...] = ()
    suffix: str = ""

    @property
    def text(self) -> str:
        """As code."""
        return (
            call(self.name, {n: _shown(v) for n, v in self.arguments.items()}, *map(_shown, self.first)) + self.suffix
        )

    def make(self) -> Any:
        """What it returns; its arguments may be traced."""
        package, *path = self.name.split(".")
        factory: Any = importlib.import_module(package)
        for i, part in enumerate(path):
            if not hasattr(factory, part):
                importlib.import_module(".".join([package, *path[: i + 1]]))
            factory = getattr(factory, part)
        made = factory(*map(_made, self.first), **{n: _made(v) for n, v in self.arguments.items()})
        return made.gradient_transformation() if self.suffix else made


def _shown(value: Any) -> Any:
    if isinstance(value, Call):
        return Unread(value.text)
    return type(value)(map(_shown, value)) if isinstance(value, (list, tuple)) else value


def _made(value: Any) -> Any:
    if isinstance(value, Call):
        return value.make()
    return type(value)(map(_made, value)) if isinstance(value, (list, tuple)) else value
