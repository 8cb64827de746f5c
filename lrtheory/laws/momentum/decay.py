r"""How long weight decay takes: the steps in which it alone brings a parameter down by a factor of e."""

from __future__ import annotations

import math
from typing import Any

from ...rules import Rule
from ..no_law import NoLaw, numbers_of

ALWAYS_DECOUPLED = ("lion", "signum", "muon", "adafactor")


def decay_time_scale(rule: Rule, hyper: Any) -> float:
    r"""Steps in which weight decay alone divides a parameter by e; inf without decay.

    Decoupled decay multiplies by :math:`1 - lr \cdot weight\_decay` a step (Adan's proximal form divides by
    :math:`1 + lr \cdot weight\_decay`): the time scale is minus one over the logarithm, near
    :math:`1/(lr \cdot weight\_decay)`. Coupled decay of SGD goes through the buffer: the slowest root of

    .. math::
        x^2 - (1 + \mu - \eta\lambda)x + \mu \qquad (nesterov:\; x^2 - (1+\mu)(1-\eta\lambda)x + \mu(1-\eta\lambda))

    with :math:`\eta = lr(1 - dampening)` and μ the momentum.

    Raises
    ------
    NoLaw
        Where coupled decay is divided by the gradient's size, or scaled with the tensor's norm.
    """
    h = numbers_of(rule, hyper)
    lr, decay = h.get("lr", 0.0), h.get("weight_decay", 0.0)
    if rule.name == "asgd" and h["lambd"] and h["alpha"]:
        raise NoLaw(f"{rule!r}: its decay lambd·lr_t slows down with its lr, so that it has no one time scale")
    if rule.name == "asgd":
        return _steps(abs(1 - lr * h["lambd"] - lr * decay))
    if decay == 0:
        return math.inf
    if rule.name == "adan" and rule.options["proximal"]:
        return _steps(1 / (1 + lr * decay))
    if rule.name == "adan" or rule.name in ALWAYS_DECOUPLED or rule.options.get("decoupled"):
        return _steps(abs(1 - lr * decay))
    if rule.name == "sgd":
        return _steps(_slowest(lr * decay, h["momentum"], h["dampening"], rule.options["nesterov"]))
    if rule.name in ("lamb", "lars"):
        raise NoLaw(f"{rule!r}: its decay is scaled with the norm of the tensor, so that it has no one time scale")
    if rule.name.startswith("schedule_free"):
        raise NoLaw(f"{rule!r}: decay acts on one sequence and parameters are another's average: no one time scale")
    raise NoLaw(
        f"{rule!r}: coupled decay is divided by the gradient's size with the rest of the gradient, so that it has no "
        "time scale of its own; decoupled decay has one"
    )


def _slowest(rate: float, momentum: float, dampening: float, nesterov: bool) -> float:
    """Largest modulus of the roots of SGD's recursion under decay alone."""
    if momentum == 0:
        return abs(1 - rate)
    if nesterov:
        total, product = (1 + momentum) * (1 - rate), momentum * (1 - rate)
    else:
        total, product = 1 + momentum - rate * (1 - dampening), momentum
    discriminant = total * total - 4 * product
    if discriminant <= 0:
        return math.sqrt(product)
    return (abs(total) + math.sqrt(discriminant)) / 2


def _steps(factor: float) -> float:
    """Steps to a factor of e at this factor a step; negative where it grows instead."""
    if factor == 0:
        return 0.0
    return math.inf if factor == 1 else -1 / math.log(factor)
