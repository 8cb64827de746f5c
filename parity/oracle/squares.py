"""Rules that divide the gradient by a root mean square: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from typing import Any

from .definition import define, uphill
from .moments import average


@define("rmsprop", "v", "g_avg", "buffer")
@uphill
def rmsprop(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Tieleman & Hinton 2012, lecture 6.5; Graves 2013, eq. 38-45 when centred; torch's eps outside the root."""
    g = g + h.weight_decay * p
    v, g_avg = average(a, h.alpha, s["v"], g * g), average(a, h.alpha, s["g_avg"], g)
    scale = a.sqrt(v - g_avg * g_avg) if o["centered"] else a.sqrt(v)
    step, buffer = g / (scale + h.eps), s["buffer"]
    if o["momentum_buffer"] and h.momentum != 0:
        step = buffer = h.momentum * buffer + step
    return p - h.lr * step, {"v": v, "g_avg": g_avg, "buffer": buffer}


@define("adagrad", "sum")
@uphill
def adagrad(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Duchi et al. 2011, eq. 1 with the diagonal of G; torch's lr decay."""
    g = g + h.weight_decay * p
    total = (h.initial_accumulator_value if t == 1 else s["sum"]) + g * g
    return p - h.lr / (1 + (t - 1) * h.lr_decay) * g / (a.sqrt(total) + h.eps), {"sum": total}


@define("adadelta", "square_avg", "acc_delta")
@uphill
def adadelta(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Zeiler 2012, algorithm 1, with torch's lr."""
    g = g + h.weight_decay * p
    square = average(a, h.rho, s["square_avg"], g * g)
    delta = a.sqrt(s["acc_delta"] + h.eps) / a.sqrt(square + h.eps) * g
    return p - h.lr * delta, {"square_avg": square, "acc_delta": average(a, h.rho, s["acc_delta"], delta * delta)}
