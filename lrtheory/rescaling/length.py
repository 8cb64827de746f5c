"""A run of another length: counts of its steps, and the time scale of its weight decay."""

from __future__ import annotations

import math
from typing import Any

from ..rules import Rule
from ..theory import NoLaw
from ..theory.momentum import decay_time_scale, gain
from ..wrappers import Wrapper, innermost
from .batch import tidy

#: By how much the time scale may miss the one that was to be held, as lr·weight_decay is first order in them.
_FIRST_ORDER = 0.1


def longer(rule: Rule | Wrapper, hyper: Any, length: float) -> Any:
    """The hyperparameters with what counts the steps of the whole run multiplied."""
    facts = innermost(rule, hyper)[0].facts
    new = {n: tidy(getattr(hyper, n) * length) for n in facts.counts if n in hyper._fields}
    return hyper._replace(**new, **{n: tidy(getattr(hyper, n) / length) for n in facts.rates})


def held_decay(rule: Rule | Wrapper, old: Any, new: Any, steps: float) -> tuple[Any, str]:
    """The new hyperparameters with a weight_decay that keeps its time scale the same share of the run, and what to say.

    Raises
    ------
    ValueError
        Where there is no weight decay, or it has no time scale.
    """
    (inside, before), (_, after) = innermost(rule, old), innermost(rule, new)
    scale = _time_scale(inside, before)
    weight_decay = tidy(before.weight_decay * rate(inside, before) / (rate(inside, after) * steps))
    held = new._replace(weight_decay=weight_decay)
    reached = decay_time_scale(*innermost(rule, held))
    if not math.isclose(reached, scale * steps, rel_tol=_FIRST_ORDER):
        raise ValueError(
            f"hold='decay': {inside!r}: its decay is not that of lr·weight_decay alone: {scale:.4g} steps would become {reached:.4g} "
            f"where {scale * steps:.4g} was to be had. Nearest: set it by hand"
        )
    became = "as it was" if weight_decay == after.weight_decay else f"{after.weight_decay:g} → {weight_decay:g}"
    return held, (
        f"hold decay: weight_decay {became}: its time scale of {scale:.4g} steps becomes {reached:.4g}, the same share of a run of "
        f"{steps:g} times the steps (lr·weight_decay times {1 / steps:g}; 2405.13698, 2505.13738)"
    )


def drifting_decay(rule: Rule | Wrapper, old: Any, new: Any, steps: float) -> list[str]:
    """What to say of weight decay over a run of ``steps`` times the steps, where its share of the run is not held."""
    try:
        before, after = (_time_scale(*innermost(rule, hyper)) for hyper in (old, new))
    except ValueError:
        return []
    if math.isclose(after, before * steps, rel_tol=_FIRST_ORDER):
        return []
    has = f"keeps its time scale of {before:.4g} steps" if after == before else f"has a time scale of {after:.4g} steps"
    return [
        f"weight decay {has}, which is {after / (before * steps):.3g} times the share of the run that it was; hold='decay' keeps the share"
    ]


def rate(rule: Rule, hyper: Any) -> float:
    """What decay removes of a parameter in a step, for each unit of a small weight_decay."""
    return hyper.lr * (1.0 if rule.array_rule.penalty is None else gain(rule, hyper))


def _time_scale(rule: Rule, hyper: Any) -> float:
    if not getattr(hyper, "weight_decay", 0):
        raise ValueError(f"hold='decay': {rule!r} has no weight decay to hold. Nearest: leave hold out")
    try:
        return decay_time_scale(rule, hyper)
    except NoLaw as reason:
        raise ValueError(f"hold='decay': {reason}") from reason
