"""Laws of scaling, invariance, batch size, stability, momentum and bounds: stated, applied and verified.

Each section is a package of its name, imported when it is first named; it offers the formulas of :mod:`lrtheory.theory` that
its laws are about, and lists in ``PARTS`` the modules whose laws the catalogue gathers.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from .law import KINDS, SECTIONS, Evidence, Law

if TYPE_CHECKING:
    from . import batch, bounds, claims, invariance, momentum, scaling, stability

__all__ = [
    "KINDS", "SECTIONS", "Evidence", "Law", "batch", "bounds", "catalogue", "claims", "get", "invariance", "momentum",
    "scaling", "stability",
]  # fmt: skip


@functools.cache
def catalogue() -> Mapping[str, Law]:
    """Every law by id, section by section."""
    laws: dict[str, Law] = {}
    for section in SECTIONS:
        for part in importlib.import_module(f".{section}", __name__).PARTS:
            for law in _laws_in(importlib.import_module(f".{section}.{part}", __name__)):
                if law.section != section or law.id in laws:
                    raise ValueError(f"law {law.id} is listed twice or in the wrong section, {section}")
                laws[law.id] = law
    return MappingProxyType(laws)


def _laws_in(module: ModuleType) -> Iterator[Law]:
    """The laws of a module, and those in its tuples, in the order they stand in."""
    for value in vars(module).values():
        yield from (law for law in (value if isinstance(value, tuple) else (value,)) if isinstance(law, Law))


def get(law_id: str) -> Law:
    """The law of that id.

    Raises
    ------
    KeyError
        With the ids there are.
    """
    laws = catalogue()
    if law_id not in laws:
        raise KeyError(f"no law {law_id!r}: there are {', '.join(laws)}")
    return laws[law_id]


def __getattr__(name: str) -> Any:
    if name in SECTIONS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
