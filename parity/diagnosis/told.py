"""What is said of two implementations, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrtheory.spec import Unread

from ..compare import Difference
from .vocabulary import phrase


@dataclass(frozen=True)
class Change:
    """One setting in which two implementations differ.

    Attributes
    ----------
    setting : str
        A number or a switch of the family.
    a, b : what each has
    arguments : mapping or None
        What to give to the first so that it has the second's; ``None`` where it has no such option.
    """

    setting: str
    a: float | str
    b: float | str
    arguments: Mapping[str, Any] | None

    @property
    def text(self) -> str:
        """The change as part of a sentence."""
        if self.arguments == {}:
            return f"without {self.setting}"
        if self.arguments is not None:
            return ", ".join(given(self.arguments))
        if isinstance(self.b, str):
            return phrase(self.setting, self.b)
        return f"{self.setting} without end" if np.isinf(self.b) else f"{self.setting}={shown(self.b)}"

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number with a dtype is written as it would be given."""
        arguments = self.arguments
        if arguments is not None:
            arguments = {name: shown(value) if _has_dtype(value) else value for name, value in arguments.items()}
        return {**vars(self), "arguments": arguments}


@dataclass(frozen=True)
class Diagnosis:
    """What tells two implementations apart.

    Attributes
    ----------
    a, b : str
    outcome : str
        ``"same"``, ``"settings"`` (the changes make them agree), ``"unknown"`` (no setting does), or ``"unseen"``: they run
        alike, but arguments in which they differ were not seen to act.
    changes : tuple
    sentence : str
    size : float
        Largest difference of a coordinate over the farthest it moves; of a schedule, over its largest value. Infinite where
        one has a value and the other none.
    first : Difference or None
        The first step at which they differ.
    verified : str
        How it is known that the changes are enough: ``"run"`` with them in place, or ``"model"``, where the first
        implementation has no option for one, or refuses them together.
    residual : float
        What is left of the difference with the changes in place.
    unseen : tuple of str
        Arguments that were not seen to act.
    """

    a: str
    b: str
    outcome: str
    changes: tuple[Change, ...]
    sentence: str
    size: float
    first: Difference | None
    verified: str
    residual: float
    unseen: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        first = None if self.first is None else self.first._asdict()
        plain = {"changes": [c.as_json() for c in self.changes], "first": first, "unseen": list(self.unseen)}
        values = {**vars(self), **plain}
        return {"first_difference" if name == "first" else name: value for name, value in values.items()}


def size_in_words(size: float) -> str:
    """A size for a page."""
    return f"{size:.1e}" if np.isfinite(size) else "without bound (one has a value where the other has none)"


def given(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments as they are written in a call."""
    return [f"{name}={shown(value)}" for name, value in arguments.items()]


def shown(value: Any) -> str:
    """A value as it is written in a call."""
    if _has_dtype(value):
        return f"numpy.{value.dtype}({value})"
    if isinstance(value, tuple):
        return f"({', '.join(shown(v) for v in value)})"
    if isinstance(value, Unread):
        return value.text
    return f"{value:.10g}" if isinstance(value, float) else repr(value)


def _has_dtype(value: Any) -> bool:
    return isinstance(value, np.generic) and not isinstance(value, float)
