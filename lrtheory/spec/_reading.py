"""What comes of reading a SPEC as one of our rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..rules import Rule
from ..words import first_line
from ..wrappers import Wrapper
from .curves import Curve
from .parts import Part, plain, typed
from .text import Spec, SpecError, Unread, written


@dataclass(frozen=True)
class Reading:
    """A SPEC understood.

    Attributes
    ----------
    text : str
        The SPEC as it was given.
    framework : str
        ``"lrtheory"``, ``"torch"`` or ``"optax"``.
    rule, hyper : the rule, wrapped as the SPEC has it, and its numbers; lr is the peak of its schedule
    write : (hyper, lr, batch) -> str
        The SPEC with those numbers, for an lr that is ``lr`` times as large in a batch that is ``batch`` times as large:
        what a schedule in it is multiplied by, and its steps divided by.
    notes : tuple of str
        What was assumed in reading it.
    curve : Curve or None
        The schedule of its lr.
    first : hyper or None
        What the numbers count as at the first step, where that is not what they are.
    """

    text: str
    framework: str
    rule: Rule | Wrapper
    hyper: Any
    write: Callable[[Any, float, float], str]
    notes: tuple[str, ...] = ()
    curve: Curve | None = None
    first: Any = None


class NoRuleError(SpecError):
    """A SPEC that is none of our rules; its units can be inferred all the same."""


def check_made(root: Part, framework: str) -> None:
    """Refuse what its own framework does; what has a part that is not evaluated, such as a mask, is not made here."""
    try:
        root.make()
    except SpecError:
        return
    except Exception as error:
        raise SpecError.of(root.spec, f"{framework} refuses it: {first_line(error)}") from error


def made(spec: Spec, rule: Rule | Wrapper, numbers: dict[str, Any], words: Mapping[str, str] | None = None) -> Any:
    """Numbers of a rule, refused in the words of the SPEC: ``words`` are its arguments by our names."""
    words = words or {}
    numbers = {name: plain(value) if typed(value) else value for name, value in numbers.items()}
    for name, given in numbers.items():
        if isinstance(given, (Spec, Unread)):
            told = f"{words.get(name, name)}={written(given)}"
            raise SpecError.of(spec, f"{told} is not a number; give one, names are not evaluated")
    try:
        return rule.hyper(**{name: float(v) if hasattr(v, "dtype") else v for name, v in numbers.items()})
    except (TypeError, ValueError, OverflowError) as error:
        told = str(error)
        for name, word in words.items():
            told = told.replace(f": {name}=", f": {word}=")
        raise SpecError.of(spec, told) from error
