"""SGD with momentum, averaged SGD and LARS."""

from __future__ import annotations

from typing import Any

from .definition import define, uphill


@define("sgd", "buffer")
@uphill
def sgd(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Sutskever et al. 2013, eq. 1-2 in torch's form (``torch/optim/sgd.py``): the first gradient is undamped."""
    g = g + h.weight_decay * p
    if h.momentum == 0:
        return p - h.lr * g, s
    b = g if t == 1 else h.momentum * s["buffer"] + a.complement(h.dampening) * g
    step = g + h.momentum * b if o["nesterov"] else b
    return p - h.lr * step, {"buffer": b}


@define("asgd", "ax", start=lambda a, p: {"eta": None, "mu": a.number(1.0)})
@uphill
def asgd(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Polyak & Juditsky 1992 with Bottou's 2010 lr; torch's order: each step uses the lr formed after the one before."""
    eta = h.lr if t == 1 else s["eta"]
    g = g + h.weight_decay * p
    p = p - eta * (h.lambd * p) - eta * g
    ax = s["ax"] + s["mu"] * (p - s["ax"])
    span = a.maximum(a.number(1.0), t - h.t0)
    return p, {"ax": ax, "eta": h.lr / a.power(1 + h.lambd * h.lr * t, h.alpha), "mu": 1 / span}


@define("lars", "buffer")
@uphill
def lars(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """You et al. 2017, algorithm 1, decay inside the norm as in ``optax/_src/alias.py``; 1 in place of no ratio."""
    g = g + h.weight_decay * p
    p_norm, g_norm = a.sqrt(a.sum(p * p)), a.sqrt(a.sum(g * g))
    ratio = 1 if p_norm == 0 or g_norm == 0 else h.trust_coefficient * p_norm / (g_norm + h.eps)
    scaled = h.lr * ratio * g
    b = h.momentum * s["buffer"] + scaled
    return p - (scaled + h.momentum * b if o["nesterov"] else b), {"buffer": b}
