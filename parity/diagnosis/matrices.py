"""Families of rules that look at a whole matrix."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from .elementwise import DECAY, average
from .family import family

SINGLE = "formed in float32"


@family(
    "adafactor",
    {"exponent": 0.8, "eps1": 0.0, "eps2": 1e-3, "clip": 1.0, "weight_decay": 0.0, "factored_from": 2.0},
    {
        "eps1": ("bounds the estimate below", "added to the squared gradient"),
        "lr": ("at most 1/√t", "as it is"),
        "parameter scale": ("yes", "no"),
        "weight decay": DECAY[1:],
        "decay rate": ("formed in double", SINGLE),
        "means": ("in double", "in float32"),
    },
    tensors={"small": (6, 5), "large": (128, 129), "vector": (6,)},
    decades=22.0,
    # A sum of 129 numbers in any order has 128 roundings of 2⁻²⁴ at most; the root halves what two such means leave.
    tolerance=lambda switches: 128 * 2.0**-24 if switches["means"] == "in float32" else 1e-9,
)
def adafactor(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adafactor."""
    weight = t**-n.exponent
    if k["decay rate"] == SINGLE:
        weight = float(1 - (1 - np.float32(t) ** np.float32(-n.exponent)))
    single = k["means"] == "in float32"

    def mean(x: Any, **along: Any) -> Any:
        return np.mean(x, **along, dtype=np.float32).astype(np.float64) if single else np.mean(x, **along)

    bounded = k["eps1"] == "bounds the estimate below"
    square = g * g + (0.0 if bounded else n.eps1)
    if g.ndim == 2 and min(g.shape) >= n.factored_from:
        row = average(s, "row", 1 - weight, mean(square, axis=1, keepdims=True))
        column = average(s, "column", 1 - weight, mean(square, axis=0, keepdims=True))
        whole = mean(row, axis=0, keepdims=True)
        v = row * column / (np.maximum(whole, n.eps1) if bounded else whole)
    else:
        v = average(s, "v", 1 - weight, square)
    u = g / np.sqrt(np.maximum(v, n.eps1**2) if bounded else v)
    u = u / np.maximum(1, np.sqrt(mean(u * u)) / n.clip)
    scale = max(n.eps2, float(np.sqrt(mean(p * p)))) if k["parameter scale"] == "yes" else 1.0
    relative = min(lr, t**-0.5) if k["lr"] == "at most 1/√t" else lr
    decay = (lr if k["weight decay"] == DECAY[1] else 1.0) * n.weight_decay * p
    return p - relative * scale * u - decay


BFLOAT16 = "in bfloat16"


@family(
    "muon",
    {"momentum": 0.95, "weight_decay": 0.0, "eps": 1e-7, "a": 3.4445, "b": -4.7750, "c": 2.0315, "steps": 5.0},
    {
        "Newton-Schulz": (BFLOAT16, "in the input's dtype"),
        "look-ahead": ("Nesterov's", "Nesterov's, bias-corrected", "none"),
        "scale of a matrix": ("√max(1, rows/columns)", "√max(1, columns/rows)", "0.2·√max(rows, columns)"),
        "eps": ("bounds the norm below", "added to the norm"),
        "weight decay": DECAY[1:],
    },
    tensors={"wide": (4, 9), "tall": (7, 3)},
    decades=2.0,
    # An order of summation that flips one rounding of 2⁻⁹ is grown by the iteration to 1e-2 of an entry.
    tolerance=lambda switches: 2e-2 if switches["Newton-Schulz"] == BFLOAT16 else 1e-9,
)
def muon(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Muon."""
    m = average(s, "m", n.momentum, g)
    if k["look-ahead"] == "Nesterov's":
        x = n.momentum * m + (1 - n.momentum) * g
    elif k["look-ahead"] == "none":
        x = m
    else:
        x = n.momentum * m / (1 - n.momentum ** (t + 1)) + (1 - n.momentum) * g / (1 - n.momentum**t)
    rows, columns = x.shape
    store = (
        (lambda y: np.asarray(y, ml_dtypes.bfloat16).astype(np.float64))
        if k["Newton-Schulz"] == BFLOAT16
        else (lambda y: y)
    )
    x = store(x.T if rows > columns else x)
    norm = store(np.linalg.norm(x))
    x = store(x / (max(norm, n.eps) if k["eps"] == "bounds the norm below" else norm + n.eps))
    for _ in range(int(n.steps)):
        gram = store(x @ x.T)
        x = store(n.a * x + store(n.b * gram + n.c * gram @ gram) @ x)
    x = x.T if rows > columns else x
    scale = {
        "√max(1, rows/columns)": np.sqrt(max(1, rows / columns)),
        "√max(1, columns/rows)": np.sqrt(max(1, columns / rows)),
        "0.2·√max(rows, columns)": 0.2 * np.sqrt(max(rows, columns)),
    }[k["scale of a matrix"]]
    return p - lr * scale * x - (lr if k["weight decay"] == DECAY[1] else 1.0) * n.weight_decay * p


MATRICES = (adafactor, muon)
