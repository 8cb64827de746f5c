"""What a rule trains with: effective lr, gain, bounds, time scales, stability, eps, each from its law."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..rules import Rule
from ..theory import NoLaw
from ..theory.bounds import largest_step
from ..theory.momentum import decay_time_scale, gain
from ..theory.stability import threshold


class Fact(NamedTuple):
    """One line: what, its number if it has one, how it is said, and the law it comes from."""

    name: str
    value: float | None
    said: str
    law: str


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
        return Fact(name, None, error.reason, law)
    if math.isinf(found) and infinite is not None:
        return Fact(name, found, infinite, law)
    return Fact(name, found, said.format(found), law)


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
