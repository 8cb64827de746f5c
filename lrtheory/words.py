"""Numbers and names as they stand in a sentence or a table."""

from __future__ import annotations

import math
from collections.abc import Iterable

SPOKEN = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "jax": "JAX", "torch": "PyTorch"}


def spoken(name: str) -> str:
    """A rule or framework as it is written in prose; a name that is not in the list stays as it was given."""
    return SPOKEN.get(name, name)


def number(value: float | int | None, digits: int = 3) -> str:
    """A number for a table; ``None`` stands for one that was not finite."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if value == int(value) and abs(value) < 1e5:
        return f"{int(value):d}"
    return f"{value:.{digits}g}"


def figure(value: float) -> str:
    """A number for a sentence: two significant digits, with an exponent only where zeros would have to be counted."""
    return f"{float(f'{value:.2g}'):g}" if math.isfinite(value) else "without bound"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "not finite" if share is None else f"{100 * share:.3g} %"


def listed(names: Iterable[str]) -> str:
    """``a, b and c``, each named once; ``none`` if there is nothing to list."""
    *most, last = dict.fromkeys(names) or ("none",)
    return f"{', '.join(most)} and {last}" if most else last


def changed(before: dict[str, float], after: dict[str, float]) -> str:
    """What is different in other hyperparameters, such as ``eps 1e-08 → 1e-07``."""
    return listed(f"{name} {before[name]:.3g} → {after[name]:.3g}" for name in before if before[name] != after[name])


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def some(names: Iterable[str], most: int) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
