"""The lr that a parameter is trained with, wrappers and schedule included, by running the rule."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..compiling import quickly_compiled
from ..rules import Rule, SparseGradient
from ..spec import Curve
from ..theory import NoLaw
from ..theory.momentum import steady_effective_lr
from ..wrappers import Wrapper, innermost, unwrapped

#: Sizes of gradients that effective learning rates are shown for.
GRADIENTS = (1.0, 1e-3, 1e-6)


class EffectiveLr(NamedTuple):
    """Effective lr of a parameter of one entry with a constant gradient of this size, clip factors included.

    ``first`` at the first step, ``steady`` when all has settled at the largest lr of the schedule, ``last`` at what the
    schedule comes to (``None`` without one).
    """

    gradient: float
    first: float
    steady: float | None
    last: float | None = None


def effective_lrs(
    rule: Rule | Wrapper, hyper: Any, curve: Curve | None = None, at_first: Any = None
) -> tuple[tuple[EffectiveLr, ...], str | None]:
    """The table of effective lr, and why its last columns are empty where they are; ``at_first`` counts at the first step."""
    begin = hyper if at_first is None else at_first
    first = _first_step(rule, begin if curve is None else begin._replace(lr=curve.start.lr))
    rows, reason = [], None
    for gradient, value in zip(GRADIENTS, first, strict=True):
        steady = last = None
        try:
            steady = _steady(rule, hyper, gradient)
            last = None if curve is None else _steady(rule, hyper._replace(lr=curve.end.lr), gradient)
        except NoLaw as error:
            reason = error.reason
        rows.append(EffectiveLr(gradient, value, steady, last))
    return tuple(rows), reason


def clipped_to(rule: Rule | Wrapper, hyper: Any) -> float | None:
    """The largest gradient of a coordinate that the rule inside is given, where it is clipped."""
    sizes = [getattr(hyper, name) for name in ("max_norm", "clip_value") if name in hyper._fields]
    return float(min(sizes)) if sizes and isinstance(rule, Wrapper) else None


def _first_step(rule: Rule | Wrapper, hyper: Any) -> list[float]:
    """E of the first step on a parameter of one entry, 1, for each size of gradient: by the rule's own code."""
    around, inside, _ = unwrapped(rule, hyper)
    calls = math.prod(getattr(wrapper, "every", 1) for wrapper, _ in around)

    @quickly_compiled()
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def first(hyper: Any, size: Any) -> Any:
        g = jnp.full(inside.facts.shape, size)
        params: Any = {"w": jnp.ones_like(g)}
        grads: Any = {"w": SparseGradient.from_dense(g) if inside.array_rule.sparse else g}
        state = rule.init(params)
        for _ in range(calls):
            params, state = rule.step(hyper, params, state, grads)
        return rule.effective_lr(hyper, state)["w"].reshape(())

    with jax.enable_x64(True):
        found = [float(value) for value in first(hyper, np.asarray(GRADIENTS))]
    return [0.0 if _through(rule, hyper, g)[1] == 0 else value for g, value in zip(GRADIENTS, found, strict=True)]


def _through(rule: Rule | Wrapper, hyper: Any, gradient: float) -> tuple[float, float]:
    """The gradient that comes through to the rule inside, and the product of the clip factors."""
    factor = 1.0
    while isinstance(rule, Wrapper):
        if hasattr(rule, "clip"):
            with jax.enable_x64(True):
                clipped, factors = rule.clip(hyper, [jnp.asarray([gradient])])  # type: ignore[attr-defined]
            gradient, factor = float(clipped[0][0]), factor * float(jnp.ravel(factors[0])[0])
        rule, hyper = rule.rule, rule.inner(hyper)
    return gradient, factor


def _steady(rule: Rule | Wrapper, hyper: Any, gradient: float) -> float:
    """E of the rule inside for the gradient that comes through to it, times the clip factors."""
    through, factor = _through(rule, hyper, gradient)
    return 0.0 if factor == 0 else factor * steady_effective_lr(*innermost(rule, hyper), through)
