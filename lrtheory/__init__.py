"""Update rules and learning-rate schedules as pure functions, and the learning rate they really train with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity import report

    from . import dims, effective, in_place, laws, quadratic, rescaling, rules, schedules, sharding, sweep, wrappers
    from .rescaling import rescale, rescale_schedule

__all__ = [
    "dims", "effective", "in_place", "laws", "quadratic", "report", "rescale", "rescale_schedule", "rescaling", "rules",
    "schedules", "sharding", "sweep", "wrappers",
]  # fmt: skip
_FUNCTIONS = ("rescale", "rescale_schedule")
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a submodule when it is first named: the command line's help and version need no jax."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(".rescaling", __name__), name)
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
