"""Update rules and learning-rate schedules as pure functions, and the learning rate they really train with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import (
        adopting,
        checkpoints,
        dims,
        effective,
        explaining,
        groups,
        in_place,
        laws,
        port,
        quadratic,
        rescaling,
        rules,
        schedules,
        sharding,
        spec,
        sweep,
        theory,
        translating,
        watching,
        wrappers,
    )
    from .adopting import adopt
    from .dims.model import symmetries
    from .explaining import explain
    from .rescaling import rescale, rescale_schedule
    from .translating import translate
    from .watching import watch

#: Functions that are called from here, by the room they live in.
_FUNCTIONS = {
    "adopt": "adopting",
    "explain": "explaining",
    "rescale": "rescaling",
    "rescale_schedule": "rescaling",
    "symmetries": "dims.model",
    "translate": "translating",
    "watch": "watching",
}
__all__ = [
    "adopt", "adopting", "checkpoints", "dims", "effective", "explain", "explaining", "groups", "in_place", "laws", "port",
    "quadratic", "rescale", "rescale_schedule", "rescaling", "rules", "schedules", "sharding", "spec", "sweep", "symmetries",
    "theory", "translate", "translating", "watch",
    "watching", "wrappers",
]  # fmt: skip
#: Named when it is asked for alone: it needs a library that may not be installed.
_WHEN_ASKED = ("optax",)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a submodule when it is first named: the command line's help and version need no jax."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f".{_FUNCTIONS[name]}", __name__), name)
    if name in __all__ or name in _WHEN_ASKED:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
