"""The largest step of one coordinate, for targets whose rule is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..comparing import demand
from ..outcome import Skip
from ..registry import register
from ..runs import STEPS, Run, standard
from ..targets import Target, follow

Bound = Callable[[Any, np.ndarray], np.ndarray]


def _adam(h: Any, t: np.ndarray) -> np.ndarray:
    """Σ c_s g_s / √(Σ w_s g_s²) ≤ √(Σ c_s²/w_s) (Cauchy and Schwarz), with the bias corrections."""
    q = h.beta1**2 / h.beta2
    series = np.sqrt((1 - q**t) / (1 - q))
    return (1 - h.beta1) / np.sqrt(1 - h.beta2) * series * np.sqrt(1 - h.beta2**t) / (1 - h.beta1**t)


def _rmsprop(h: Any, t: np.ndarray) -> np.ndarray:
    return (1 - h.momentum**t) / ((1 - h.momentum) * np.sqrt(1 - h.alpha))


def _adamax(h: Any, t: np.ndarray) -> np.ndarray:
    ratio = h.beta1 / h.beta2
    return (1 - h.beta1) / (1 - h.beta1**t) * (1 - ratio**t) / (1 - ratio)


#: Rule → its sharp bound at step t over the lr, decoupled decay aside; Cauchy and Schwarz on the sums that make the step.
BOUNDS: Mapping[str, Bound] = {
    "adam": _adam,
    "rmsprop": _rmsprop,
    "adamax": _adamax,
    "lion": lambda h, t: np.ones_like(t),
    "signsgd": lambda h, t: np.ones_like(t),
    "adagrad": lambda h, t: np.ones_like(t),
}


@register(
    "step-bound",
    "For a known rule (Adam, RMSprop, Adamax, Adagrad, Lion, sign descent) no coordinate ever moves by "
    "more than the sharp bound of that rule (and by what decoupled decay takes), under the gradients that attain it.",
)
def step_bound(target: Target) -> None:
    """Gradients that grow, that fall and that come after a lull, so large that eps is nothing beside them."""
    reference: Any = target.reference
    rule = getattr(reference, "rule", None)
    if rule is None or rule.name not in BOUNDS or rule.options.get("centered"):
        raise Skip("no bound is known for it: it has no reference with one")
    hyper, t = reference.hyper, np.arange(1, STEPS + 1, dtype=np.float64)
    # Coupled decay is part of the gradient, for which the bound holds whatever it is.
    decay = hyper.lr * getattr(hyper, "weight_decay", 0.0) if rule.array_rule.penalty is None else 0.0
    bound = hyper.lr * BOUNDS[rule.name](hyper, t)
    growth = getattr(hyper, "beta1", 0.9) / getattr(hyper, "beta2", 0.99)
    streams = (growth ** (STEPS - t), growth**t, np.where(t < STEPS, 1e-3, 1.0), np.ones(STEPS), (-1.0) ** t)
    for stream in streams:
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
