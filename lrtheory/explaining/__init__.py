"""An optimizer in text, or a live one, explained: what it trains with, and what its numbers become under a change."""

from __future__ import annotations

from typing import Any, overload

from ..spec import Reading, read
from . import explanation, live
from .explanation import Change, Explanation
from .live import LiveExplanation

__all__ = ["Explanation", "LiveExplanation", "Reading", "explain", "read"]


@overload
def explain(optimizer: str, change: Change | None = None) -> Explanation: ...
@overload
def explain(optimizer: Any, change: Change | None = None, *, model: Any = None) -> LiveExplanation: ...


def explain(optimizer: Any, change: Change | None = None, *, model: Any = None) -> Explanation | LiveExplanation:
    """Explain a SPEC, or a live optimizer group by group, under a change.

    Parameters
    ----------
    optimizer : str, or what :func:`lrtheory.adopt` reads
        Of optax ``(transformation, state)`` or ``(transformation, state, params)``.
    change : Change, optional
    model : torch module, optional
        Gives the names of a live optimizer's parameters.

    Raises
    ------
    SpecError
        For what is no SPEC, or names nothing.
    TypeError
        For what is neither text nor an optimizer.
    ValueError
        For a change that is impossible; the message says why, and the nearest thing that can be done.
    """
    if isinstance(optimizer, str):
        return explanation.explain(optimizer, change)
    return live.explain_live(optimizer, change, model=model)
