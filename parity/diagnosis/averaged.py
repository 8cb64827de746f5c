"""Families of rules that average their parameters: ASGD and the schedule-free ones."""

from __future__ import annotations

from typing import Any

from .elementwise import BESIDE, EPS_INSIDE, EPS_OUTSIDE, average, root
from .family import LATE, family


@family(
    "asgd",
    {"lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0},
    {
        "lr of": (LATE["lr of"][1], LATE["lr of"][0]),
        "average": ("starts one step after t0", "starts at t0"),
        "sign": ("down", "up"),
    },
    decades=6.0,
    averaged=True,
)
def asgd(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Averaged SGD."""
    g = g + n.weight_decay * p
    eta = lr / (1 + n.lambd * lr * (t - 1)) ** n.alpha
    p = (1 - n.lambd * eta) * p - eta * g
    behind = (t - 1 if k["average"] == "starts one step after t0" else t) - n.t0
    s["x"] = p if t == 1 or behind <= 1 else s["x"] + (p - s["x"]) / behind
    return p


WEIGHT, EVALUATED, DECAYED = "weight in the average", "evaluation", "weight decay"
LARGEST, NEXT, OWN, ALIKE = "the largest lr so far", "the largest lr so far and the next", "its own lr", "1 for all"
AVERAGE, PARAMETERS = "at the average", "at the parameters"
STEP, BEFORE, AT_Z = "with the gradient", "of the parameters before the step, times lr", "with the gradient, of z"
FREE = {
    WEIGHT: (LARGEST, NEXT, OWN, ALIKE),
    DECAYED: (STEP, BEFORE, AT_Z),
    EVALUATED: (AVERAGE, PARAMETERS),
    "sign": ("down", "up"),
}
FREE_NUMBERS = {"beta1": 0.9, "weight_decay": 0.0, "weight_lr_power": 2.0, "r": 0.0, "warmup_steps": 0.0}


def _free(n: Any, k: Any, s: dict[str, Any], t: int, u: Any, p: Any, lr: float) -> Any:
    """One schedule-free step along ``u``; x is taken from the parameters and z."""
    warm = min(1.0, t / n.warmup_steps) if n.warmup_steps else 1.0
    lr = warm * lr
    z = s.get("z", p)
    if k[DECAYED] == BEFORE:
        p = p - lr * n.weight_decay * p
    else:
        u = u + n.weight_decay * (z if k[DECAYED] == AT_Z else p)
    largest = s["largest"] = max(s.get("largest", 0.0), warm * n.next_lr if k[WEIGHT] == NEXT else lr)
    power = 0.0 if k[WEIGHT] == ALIKE else n.weight_lr_power
    weight = t**n.r * (lr if k[WEIGHT] == OWN else largest) ** power
    total = s["total"] = s.get("total", 0.0) + weight
    c = weight / total if total else 0.0
    x = (p - (1 - n.beta1) * z) / n.beta1
    z = s["z"] = z - lr * u
    x = (1 - c) * x + c * z
    p = n.beta1 * x + (1 - n.beta1) * z
    s["x"] = x if k[EVALUATED] == AVERAGE else p
    return p


@family("schedule_free_sgd", FREE_NUMBERS, FREE, decades=6.0, averaged=True)
def schedule_free_sgd(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Schedule-free SGD."""
    return _free(n, k, s, t, g, p, lr)


@family(
    "schedule_free_adamw",
    {**FREE_NUMBERS, "beta2": 0.999, "eps": 1e-8},
    {"eps": (EPS_OUTSIDE, BESIDE, EPS_INSIDE), "bias correction": ("yes", "no"), **FREE},
    averaged=True,
)
def schedule_free_adamw(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Schedule-free AdamW."""
    v, left = average(s, "v", n.beta2, g * g), n.left(n.beta2, t) if k["bias correction"] == "yes" else 1.0
    return _free(n, k, s, t, g / root(n, k, v, left), p, lr)


AVERAGED = (asgd, schedule_free_sgd, schedule_free_adamw)

PHRASES = {
    (WEIGHT, LARGEST): "iterates weighed with the largest lr so far",
    (WEIGHT, NEXT): "iterates weighed with the largest lr up to the next step's",
    (WEIGHT, OWN): "iterates weighed with their own lr",
    (WEIGHT, ALIKE): "iterates of even weight",
    (EVALUATED, AVERAGE): "evaluation at the average",
    (EVALUATED, PARAMETERS): "evaluation at the parameters",
    (DECAYED, STEP): "weight decay with the gradient",
    (DECAYED, BEFORE): "weight decay of the parameters before the step, times lr",
    (DECAYED, AT_Z): "weight decay of z with the gradient",
}
