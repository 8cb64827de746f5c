"""Formulas to call: each for a rule with its hyperparameters, or the reason why there is none.

:mod:`lrtheory.laws` states them as laws and holds them to runs. Submodules are imported when they are first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .asking import NoLaw

if TYPE_CHECKING:
    from . import batch, bounds, invariance, momentum, scaling, stability, updates

_ROOMS = ("batch", "bounds", "invariance", "momentum", "scaling", "stability", "updates")
__all__ = ["NoLaw", "batch", "bounds", "invariance", "momentum", "scaling", "stability", "updates"]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
