"""What a rule trains with: effective lr, gain, bounds, time scales, stability, eps, each from its law."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..rules import Rule, SparseGradient
from ..theory import NoLaw
from ..theory.bounds import largest_step
from ..theory.momentum import decay_time_scale, gain, steady_effective_lr
from ..theory.stability import threshold

#: Sizes of gradients that effective learning rates are shown for.
GRADIENTS = (1.0, 1e-3, 1e-6)


class Fact(NamedTuple):
    """One line: what, its number if it has one, how it is said, and the law it comes from."""

    name: str
    value: float | None
    said: str
    law: str


class EffectiveLr(NamedTuple):
    """Effective lr of a parameter of one entry with a constant gradient of this size: at the first step, and when all has settled."""

    gradient: float
    first: float
    steady: float | None


def effective_lrs(rule: Rule, hyper: Any) -> tuple[tuple[EffectiveLr, ...], str | None]:
    """The table of effective lr, and why its last column is empty where it is."""
    first = _first_step(rule, hyper)
    rows, reason = [], None
    for gradient, value in zip(GRADIENTS, first, strict=True):
        steady = None
        try:
            steady = steady_effective_lr(rule, hyper, gradient)
        except NoLaw as error:
            reason = _why(error)
        rows.append(EffectiveLr(gradient, value, steady))
    return tuple(rows), reason


def _first_step(rule: Rule, hyper: Any) -> list[float]:
    """E of the first step on a parameter of one entry, 1, for each size of gradient: by the rule's own code."""

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def first(hyper: Any, size: Any) -> Any:
        g = jnp.full(rule.facts.shape, size)
        params = {"w": jnp.ones_like(g)}
        grads = {"w": SparseGradient.from_dense(g) if rule.array_rule.sparse else g}
        return rule.effective_lr(hyper, rule.step(hyper, params, rule.init(params), grads)[1])["w"].reshape(())

    with jax.enable_x64(True):
        return [float(value) for value in first(hyper, np.asarray(GRADIENTS))]


def facts(rule: Rule, hyper: Any) -> Iterator[Fact]:
    """Every fact that the rule has, or why it has none."""
    yield _of_law(
        "gain under momentum", "momentum.gain", lambda: gain(rule, hyper), "lr × {:.4g} once momentum has built up"
    )
    yield _of_law(
        "largest step of a coordinate",
        "bounds",
        lambda: largest_step(rule, hyper),
        "{:.4g}, whatever the gradients were (eps = 0)",
        infinite="none: gradients exist that make a step as large as wanted",
    )
    yield from _memories(rule, hyper)
    if "weight_decay" in hyper._fields and hyper.weight_decay is not None:
        yield _of_law(
            "time scale of weight decay",
            "momentum.decay-time-scale",
            lambda: decay_time_scale(rule, hyper),
            "{:.4g} steps to a factor of e",
            infinite="none: there is no decay",
        )
    yield _stability(rule, hyper)
    yield from _eps(rule, hyper)
    yield from (Fact(*note) for note in rule.facts.notes(hyper))


def _of_law(name: str, law: str, value: Callable[[], float], said: str, *, infinite: str | None = None) -> Fact:
    try:
        found = value()
    except NoLaw as error:
        return Fact(name, None, _why(error), law)
    if math.isinf(found) and infinite is not None:
        return Fact(name, found, infinite, law)
    return Fact(name, found, said.format(found), law)


def _why(error: NoLaw) -> str:
    """The reason without the rule's name, which stands above it."""
    return str(error).partition(": ")[2] or str(error)


def _memories(rule: Rule, hyper: Any) -> Iterator[Fact]:
    """Averages: 1/(1 − β) steps, the mean age of what is in them."""
    for name, what in rule.facts.averages.items():
        beta = getattr(hyper, name, None)
        if beta is not None and 0 < beta < 1:
            yield Fact(f"memory of {name}", 1 / (1 - beta), f"{1 / (1 - beta):.4g} steps of {what}", "1/(1 − β)")


def _stability(rule: Rule, hyper: Any) -> Fact:
    """The largest curvature a constant lr survives."""
    found = threshold(rule, hyper)
    if found.curvature is None:
        return Fact("largest stable curvature", None, f"none known: {found.reason}", "stability")
    said = f"{found.curvature:.4g} = {found.formula}, of {found.of}; {found.reason}"
    return Fact("largest stable curvature", found.curvature, said, "stability")


def _eps(rule: Rule, hyper: Any) -> Iterator[Fact]:
    """Which gradients eps dominates."""
    eps = getattr(hyper, "eps", None)
    if rule.array_rule.scale is None or eps is None or rule.units["eps"].loss != 1:
        return
    if eps == 0:
        yield Fact("eps", 0.0, "none: a gradient of exactly 0 in the first step makes 0/0", "scaling.eps-sensitivity")
        return
    yield Fact(
        "eps dominates",
        float(eps),
        f"coordinates whose √v̂ is below {eps:.3g}: steps there are proportional to the gradient, and the loss scale is felt; "
        f"at √v̂ = {100 * eps:.3g} it takes 1 % off",
        "scaling.eps-sensitivity",
    )
