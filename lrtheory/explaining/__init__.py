"""An optimizer in text, or a live one, explained: what it trains with, and what its numbers become under a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from ..groups import Groups
from ..rescaling import Change
from ..rules import Rule
from ..spec import Reading, read
from ..wrappers import Wrapper
from . import explanation, live
from .explanation import Explanation
from .live import LiveExplanation

__all__ = ["Explanation", "LiveExplanation", "Reading", "explain", "read"]


@overload
def explain(optimizer: str, change: Change | None = None, **asked: Any) -> Explanation: ...
@overload
def explain(optimizer: Any, change: Change | None = None, *, model: Any = None, **asked: Any) -> LiveExplanation: ...


def explain(
    optimizer: Any, change: Change | None = None, *, model: Any = None, **asked: Any
) -> Explanation | LiveExplanation:
    """Explain a SPEC, or groups one by one, of a live optimizer or as several SPECs, under a change.

    Parameters
    ----------
    optimizer : str, sequence of str, mapping of label to str, or what :func:`lrtheory.adopt` reads
        Of optax ``(transformation, state)`` or ``(transformation, state, params)``;
        of ours ``(rule, hyper)`` or ``(rule, hyper, params)``, whose rule may have groups.
    change : Change, optional
    model : torch module, optional
        Gives the names of a live optimizer's parameters.
    **asked
        The fields of a change, in its place: ``explain("adam(lr=1e-3)", accumulation=4)``. They are those of
        :func:`lrtheory.rescale`.

    Raises
    ------
    SpecError
        For what is no SPEC, or names nothing.
    TypeError
        For what is neither text nor an optimizer, or a change that is given twice or has no such field.
    ValueError
        For a change that is impossible; the message says why, and the nearest thing that can be done.
    """
    if asked:
        if change is not None:
            raise TypeError(f"a change is given, and {', '.join(asked)} too; put them into the change")
        unknown = [name for name in asked if name not in Change.__dataclass_fields__]
        if unknown:
            raise TypeError(
                f"explain has no argument {unknown[0]!r}: a change has {', '.join(Change.__dataclass_fields__)}"
            )
        change = Change(**asked)
    named = dict(enumerate(optimizer)) if isinstance(optimizer, (list, tuple)) else optimizer
    named = named if isinstance(named, Mapping) else {}
    several = bool(named) and all(isinstance(spec, str) for spec in named.values())
    if model is not None and (several or isinstance(optimizer, str)):
        raise TypeError("model= names the parameters of a live optimizer; a SPEC has none")
    if several:
        labels = [str(label) for label in named]
        if len(set(labels)) < len(labels):
            raise TypeError(f"labels of groups must differ as text, and are {', '.join(map(repr, named))}")
        return live.explain_specs(dict(zip(labels, named.values(), strict=True)), change)
    if isinstance(optimizer, str):
        return explanation.explain(optimizer, change)
    if isinstance(optimizer, tuple) and optimizer and isinstance(optimizer[0], (Rule, Wrapper, Groups)):
        if not 2 <= len(optimizer) <= 3:
            raise TypeError(
                f"explain takes a rule as (rule, hyper) or (rule, hyper, params), not {len(optimizer)} things"
            )
        if model is not None:
            raise TypeError("model= names the parameters of a live optimizer; give (rule, hyper, params) to have names")
        return live.explain_rule(*optimizer, change=change)
    return live.explain_live(optimizer, change, model=model)
