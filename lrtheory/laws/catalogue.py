"""All laws by id."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType

from .law import SECTIONS, Law


@functools.cache
def catalogue() -> Mapping[str, Law]:
    """Every law by id, section by section.

    Each section is a module or package of this one's name that lists its laws in ``LAWS``.
    """
    laws: dict[str, Law] = {}
    for section in SECTIONS:
        for law in importlib.import_module(f".{section}", __package__).LAWS:
            if law.section != section or law.id in laws:
                raise ValueError(f"law {law.id} is listed twice or in the wrong section, {section}")
            laws[law.id] = law
    return MappingProxyType(laws)


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
