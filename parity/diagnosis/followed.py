"""ASGD in float32, each of its roundings followed: torch's loop and its foreach round at different places."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import Family, FromZero
from .probe import STEPS

DECAY, ETA, AVERAGE = "decay by lambd", "eta", "moving the average"
SCALED, JOINED = "of the parameters before the step", "with the gradient"
DOUBLE, SINGLE = "formed in double", "formed in float32"
COPIED, MOVED = "copied while its weight is 1", "by the difference at every step"

PHRASES = {
    (DECAY, SCALED): "lambd's decay of the parameters before the step",
    (DECAY, JOINED): "lambd's decay with the gradient",
    (AVERAGE, COPIED): "an average that is copied while its weight is 1",
    (AVERAGE, MOVED): "an average that is moved by the difference at every step",
}

#: Of one step, none of a number beyond the reach: three of the parameter, and of a step twice as long as that the lr and
#: the five that make eta.
ROUNDINGS = 15

single = np.float32


def fused(a: Any, b: Any, c: Any) -> Any:
    """``a·b + c`` rounded once, as torch's add and addcmul have it where the processor does: a product is exact in double."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(single)


def asgd(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """One step from float32 to float32; numbers are doubles until they are used."""
    if n.weight_decay:
        g = fused(single(n.weight_decay), p, g)
    if k[ETA] == DOUBLE or t == 1:
        eta = single(lr / (1 + n.lambd * lr * (t - 1)) ** n.alpha)
    else:
        eta = single(lr) * (single(1) / (single(n.lambd * lr) * single(t - 1) + single(1)) ** single(n.alpha))
    if k[DECAY] == SCALED:
        p = fused(-eta, g, single(1 - n.lambd * np.float64(eta)) * p)
    else:
        p = fused(-eta, fused(single(n.lambd), p, g), p)
    behind = (t - 1 if k["average"] == "starts one step after t0" else t) - n.t0
    mu, x = single(1 / behind if t > 1 and behind > 1 else 1.0), s.get("x", np.zeros_like(p))
    if k[AVERAGE] == MOVED:
        s["x"] = fused(p - x, mu, x)
    else:
        s["x"] = p if mu == 1 else x + (p - x) * mu
    return p


def followed(family: Family) -> Family:
    """ASGD in float32."""
    switches = {DECAY: (SCALED, JOINED), ETA: (DOUBLE, SINGLE), AVERAGE: (COPIED, MOVED)}
    switches |= {k: v for k, v in family.switches.items() if k != "lr of"}  # which is constant
    given = {"step": asgd, "switches": switches, "tolerance": lambda switches: 0.0}
    return FromZero(**{**vars(family), **given, "within": STEPS * ROUNDINGS * 2.0**-24})
