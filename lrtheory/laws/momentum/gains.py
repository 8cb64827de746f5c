r"""What a gradient that does not change is finally multiplied with: the gain under momentum, and the effective lr.

The steps of a rule under a constant gradient g settle at :math:`E \cdot g`. The gain is the part of E that momentum
makes: :math:`(1-dampening)/(1-momentum)` where a buffer sums gradients up, 1 where it averages them, and
:math:`1 - beta1/2` for the schedule-free rules, whose parameters lag behind the sequence that takes the steps.
"""

from __future__ import annotations

import math
from typing import Any

from ...rules import Rule
from ..no_law import NoLaw, numbers_of


def gain(rule: Rule, hyper: Any) -> float:
    """By how much momentum multiplies the effective lr, once it has built up.

    Parameters
    ----------
    rule, hyper : Rule and its numbers

    Returns
    -------
    float
        1 for a rule without momentum, and for one that averages gradients with weights that sum to 1.

    Raises
    ------
    NoLaw
        Where the buffer grows without bound.
    """
    h = numbers_of(rule, hyper)
    if rule.name.startswith("schedule_free"):
        return 1 - h["beta1"] / 2
    if rule.name not in ("sgd", "rmsprop", "lars"):
        return 1.0
    momentum = h.get("momentum", 0.0)
    if momentum >= 1:
        raise NoLaw(f"{rule!r}: with momentum={momentum:g} the buffer grows without bound; below 1 it settles")
    if momentum == 0 or rule.options.get("nesterov"):
        return 1 / (1 - momentum)
    return (1 - h.get("dampening", 0.0)) / (1 - momentum)


def steady_effective_lr(rule: Rule, hyper: Any, gradient: float) -> float:
    r"""Effective lr once a coordinate's gradient has long been the same.

    Parameters
    ----------
    rule, hyper : Rule and its numbers
    gradient : size of the gradient, in [loss]/[param]

    Returns
    -------
    float
        E, in the units of a step over a gradient. inf where nothing but an eps that is 0 holds it back.

    Raises
    ------
    NoLaw
        Where E never settles, or depends on norms of the whole tensor; the message says which.
    """
    h = numbers_of(rule, hyper)
    if not (math.isfinite(gradient) and gradient > 0):
        raise ValueError(f"gradient={gradient}: the size of a gradient is above 0 and finite")
    lr = h.get("lr", 0.0)
    match rule.name:
        case "sgd" | "schedule_free_sgd":
            return lr * gain(rule, hyper)
        case "adadelta":  # its steps grow until the ratio of the two roots is 1
            return lr
        case "lion" | "signum":
            return lr / gradient
        case "adam" | "adamax" | "nadam" | "adan" | "sparse_adam" | "schedule_free_adamw":
            shrinkage = 1 + lr * h["weight_decay"] if rule.options.get("proximal") else 1
            return lr * gain(rule, hyper) / (math.hypot(gradient, h.get("eps_root", 0.0) ** 0.5) + h["eps"]) / shrinkage
        case "radam":
            return lr if h["beta2"] <= 2 / 3 else lr / (gradient + h["eps"])
        case "rmsprop":
            root = 0.0 if rule.options.get("centered") else gradient
            if h["alpha"] >= 1:
                raise NoLaw(
                    f"{rule!r}: with alpha={h['alpha']:g} the squares are summed, not averaged: E never settles"
                )
            return _over(lr * gain(rule, hyper), root + h["eps"])
        case "adabelief":  # a constant gradient is no surprise: eps_root alone is gathered in v
            return _over(lr, math.sqrt(h["eps_root"] / (1 - h["beta2"])) + h["eps"])
        case "asgd" if h["lambd"] == 0 or h["alpha"] == 0:
            return lr
    raise NoLaw(f"{rule!r}: {_UNSETTLED[rule.name]}")


def _over(lr: float, scale: float) -> float:
    return lr / scale if scale > 0 else math.inf


_UNSETTLED = {
    "adagrad": "the effective lr never settles, it falls as lr/(|g|·√t)",
    "asgd": "the effective lr never settles, it falls as lr/(1 + lambd·lr·t)^alpha",
    "adafactor": "the effective lr never settles, it falls as 1/√t, and it follows the size of the whole parameter",
    "rprop": "the effective lr never settles: its step grows by eta_plus until the gradient's sign turns",
    "lars": "the effective lr is lr·trust_coefficient·‖p‖/(‖g‖ + eps) times the gain: it follows the tensor's norms",
    "lamb": "the effective lr is lr/(|g| + eps) times ‖p‖ over the norm of the update: it follows the tensor's norms",
    "muon": "no coordinate has an effective lr of its own: each entry of the step depends on the whole matrix",
}
