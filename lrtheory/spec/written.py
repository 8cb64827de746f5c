"""SPECs and numbers as code to paste back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import Spec


def number(value: Any) -> str:
    """A number so that it reads back as the same bits, in the shortest such form."""
    if isinstance(value, bool) or not isinstance(value, float):
        return repr(value)
    return repr(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)


def value(given: Any) -> str:
    """An argument: a literal, a tuple of them, or a SPEC as it was written."""
    if isinstance(given, Spec):
        return given.text
    if isinstance(given, tuple):
        return "(" + ", ".join(value(entry) for entry in given) + ("," if len(given) == 1 else "") + ")"
    return number(given)


def call(name: str, arguments: Mapping[str, Any], first: str | None = None) -> str:
    """A call with arguments by name, after one by position."""
    parts = [first] if first is not None else []
    return f"{name}({', '.join([*parts, *(f'{key}={value(given)}' for key, given in arguments.items())])})"
