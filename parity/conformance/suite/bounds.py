"""The largest step of one coordinate, for targets whose rule is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrtheory.laws.bounds import largest_step
from lrtheory.laws.no_law import NoLaw
from lrtheory.rules import Rule

from ..comparing import demand
from ..outcome import Skip
from ..registry import register
from ..runs import STEPS, Run, standard
from ..targets import Target, follow


def sharp_bound(rule: Rule, hyper: Any) -> np.ndarray:
    """Of each step, decoupled decay aside: :func:`lrtheory.laws.bounds.largest_step`, shape (STEPS,)."""
    if rule.name == "rprop":
        raise Skip(f"{STEPS} steps are too few to come near step_size_max, which bounds it")
    try:
        return np.array([largest_step(rule, hyper, t) for t in range(1, STEPS + 1)])
    except NoLaw as reason:
        raise Skip(f"no bound is known for its reference: {reason}") from reason


def streams(hyper: Any) -> tuple[np.ndarray, ...]:
    """Gradients of shape (STEPS,) that grow, that fall, that come after a lull, that stay and that turn.

    The first attains the bound of Adam at the last step, the second that of Adamax, the third those of RMSprop and Adagrad,
    the fourth that of rules that follow signs.
    """
    t = np.arange(1, STEPS + 1, dtype=np.float64)
    growth, forgotten = getattr(hyper, "beta1", 0.9) / getattr(hyper, "beta2", 0.99), getattr(hyper, "beta2", 0.99)
    return growth ** (STEPS - t), forgotten**t, np.where(t < STEPS, 1e-6, 1.0), np.ones(STEPS), (-1.0) ** t


@register(
    "step-bound",
    "For a known rule (Adam, RMSprop, Adamax, Adagrad, Lion, sign descent) no coordinate ever moves by "
    "more than the sharp bound of that rule (and by what decoupled decay takes), under the gradients that attain it.",
)
def step_bound(target: Target) -> None:
    """Gradients so large that eps is nothing beside them."""
    reference: Any = target if target.reference is None else target.reference  # a rule of ours is its own
    rule = getattr(reference, "rule", None)
    if rule is None:
        raise Skip("no bound is known for it: it has no reference with one")
    hyper = reference.hyper
    bound = sharp_bound(rule, hyper)
    # Coupled decay is part of the gradient, for which the bound holds whatever it is.
    decay = hyper.lr * getattr(hyper, "weight_decay", 0.0) if rule.array_rule.penalty is None else 0.0
    for stream in streams(hyper):
        run = _constant_in_space(target, 1e6 * stream)
        path = follow(target, run)
        for name, value in path.items():
            steps = np.abs(np.diff(value, axis=0)).reshape(STEPS, -1).max(axis=1)
            decayed = decay * np.abs(value[:-1]).reshape(STEPS, -1).max(axis=1)
            over = np.flatnonzero(~(steps <= bound * (1 + 1e-9) + decayed))  # 1e-9: roundings of some ten operations
            where = (
                f"step {over[0] + 1} moves {name} by {steps[over[0]]:.6g}, {steps[over[0]] / bound[over[0]]:.4g} "
                "times the sharp bound"
                if over.size
                else ""
            )
            demand(not over.size, where)


def _constant_in_space(target: Target, stream: np.ndarray) -> Run:
    run = standard(target.shapes)
    return Run(
        {n: np.zeros(s) for n, s in run.shapes.items()},
        {n: np.broadcast_to(stream.reshape(-1, *[1] * len(s)), (STEPS, *s)).copy() for n, s in run.shapes.items()},
        run.lrs,
    )
