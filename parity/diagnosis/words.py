"""The words of one implementation for the numbers and switches of a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: An argument, or an entry of one that is a tuple.
Argument = str | tuple[str, int]


@dataclass(frozen=True)
class Words:
    """One implementation's own words."""

    family: str
    numbers: Mapping[str, Argument] = field(default_factory=dict)  # number → argument
    # (switch, value) → the arguments that set it, or a function that makes them from all numbers
    options: Mapping[tuple[str, str], Mapping[str, Any] | Callable[[Mapping[str, float]], Mapping[str, Any]]] = field(
        default_factory=dict
    )
    # number → function of the arguments, where it is no plain argument
    read: Mapping[str, Callable[[Mapping[str, Any]], float]] = field(default_factory=dict)
    # argument → the numbers that it depends on and a function of all numbers and the arguments, where it is no plain
    # number
    write: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, float], Mapping[str, Any]], Any]]] = field(
        default_factory=dict
    )


def switch(name: str, off: str, on: str, argument: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Options of a switch that an argument turns on."""
    return {(name, off): {argument: False}, (name, on): {argument: True}}
