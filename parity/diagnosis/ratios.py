"""Families of rules that step by signs or by ratios of norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import DECAY, average, decayed, removed
from .family import family

SHAPES = {"matrix": (5, 4), "vector": (8,)}


@family(
    "lion",
    {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0},
    {
        "weight decay": (DECAY[1], DECAY[0], DECAY[2]),
        "average": ("moved after the step", "moved before it"),
        "sign": ("down", "up"),
    },
)
def lion(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Lion; with one beta for both averages also Signum, and with none sign descent."""
    g = decayed(n, k, g, p)
    before = k["average"] == "moved before it"
    m = average(s, "m", n.beta2, g) if before else s.get("m", 0.0)
    step = np.sign(n.beta1 * m + (1 - n.beta1) * g)
    if not before:
        average(s, "m", n.beta2, g)
    return p - lr * step - removed(n, k, p, lr)


def _ratio(top: Any, bottom: Any, eps: float = 0.0) -> Any:
    """Of two norms; 1 where one is 0."""
    a, b = np.linalg.norm(top), np.linalg.norm(bottom)
    return a / (b + eps) if a > 0 and b > 0 else 1.0


@family(
    "lars",
    {"momentum": 0.9, "weight_decay": 0.0, "trust_coefficient": 1e-3, "eps": 0.0},
    {
        "look-ahead": ("none", "Nesterov's"),
        "lr": ("inside the buffer", "outside the buffer"),
        "norm": ("of gradient and decay together", "of each alone, summed"),
        "sign": ("down", "up"),
    },
    tensors=SHAPES,
    decades=4.0,
)
def lars(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """LARS."""
    whole = g + n.weight_decay * p
    trust = n.trust_coefficient if np.any(p) and np.any(whole) else 1.0
    if k["norm"] == "of gradient and decay together":
        trust = trust * _ratio(p, whole, n.eps)
    else:
        trust = trust * _ratio(p, g, n.eps + n.weight_decay * np.linalg.norm(p))
    inside = k["lr"] == "inside the buffer"
    step = (lr if inside else 1.0) * trust * whole
    b = s["b"] = n.momentum * s.get("b", 0.0) + step
    moved = step + n.momentum * b if k["look-ahead"] == "Nesterov's" else b
    return p - (moved if inside else lr * moved)


@family(
    "lamb",
    {"beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "eps_root": 0.0, "weight_decay": 0.0},
    {
        "weight decay": ("inside the ratio", "before the step, times lr"),
        "bias correction": ("yes", "no"),
        "eps": ("outside the root", "beside the uncorrected root"),
        "sign": ("down", "up"),
    },
    tensors=SHAPES,
    decades=8.0,
)
def lamb(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """LAMB."""
    m, v = average(s, "m", n.beta1, g), average(s, "v", n.beta2, g * g)
    c1, c2 = (n.left(n.beta1, t), n.left(n.beta2, t)) if k["bias correction"] == "yes" else (1.0, 1.0)
    if k["eps"] == "outside the root":
        root = np.sqrt(v / c2 + n.eps_root) + n.eps
    else:
        root = (np.sqrt(v + n.eps_root) + n.eps) / np.sqrt(c2)
    update = m / c1 / root
    if k["weight decay"] == "inside the ratio":
        update = update + n.weight_decay * p
    else:
        p = p - lr * n.weight_decay * p
    return p - lr * _ratio(p, update) * update


RATIOS = (lion, lars, lamb)
