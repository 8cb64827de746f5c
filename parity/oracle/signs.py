"""Rules that follow signs: Lion, signum and signSGD, Rprop."""

from __future__ import annotations

from typing import Any

from .definition import define, uphill
from .moments import average


@define("lion", "m")
@uphill
def lion(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Chen et al. 2023, algorithm 2."""
    c = average(a, h.beta1, s["m"], g)
    return p - h.lr * (a.sign(c) + h.weight_decay * p), {"m": average(a, h.beta2, s["m"], g)}


@define("signum", "m")
@uphill
def signum(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Bernstein et al. 2018, algorithms 1 and 2, with AdamW's decay."""
    m = average(a, h.momentum, s["m"], g) if o["averaged"] else g
    return p - h.lr * (a.sign(m) + h.weight_decay * p), {"m": m}


@define("rprop", "prev", "step_size")
@uphill
def rprop(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Igel & Hüsken 2000, iRprop− (``torch/optim/rprop.py``): where the sign turns the step shrinks and rests."""
    turned = g * s["prev"]
    factor = a.where(turned > 0, h.eta_plus, a.where(turned < 0, h.eta_minus, a.number(1.0)))
    size = (h.lr if t == 1 else s["step_size"]) * factor
    size = a.minimum(a.maximum(size, h.step_size_min), h.step_size_max)
    followed = a.where(turned < 0, a.number(0.0), g)
    return p - a.sign(followed) * size, {"prev": followed, "step_size": size}
