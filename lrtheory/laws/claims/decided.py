"""A claim as a law."""

from __future__ import annotations

from typing import Any

from ..law import Law


def claim(name: str, title: str, sentence: str, decision: Any, kind: Any, statement: str, **rest: Any) -> Law:
    """The law that decides a sentence people say; ``rest`` as for :class:`Law`."""
    return Law(
        id=f"claims.{name}", title=title, claim=sentence, decision=decision, kind=kind, statement=statement, **rest
    )
