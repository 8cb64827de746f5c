"""Rules that look at a whole matrix: Adafactor and Muon."""

from __future__ import annotations

import math
from typing import Any

from .definition import define, uphill


@define("adafactor", start=lambda a, p: _variances(a, p))
@uphill
def adafactor(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Shazeer & Stern 2018, algorithms 4 and 5, in torch's variant (``torch/optim/_adafactor.py``): eps1 bounds the
    mean of the row averages, its square the estimate.
    """
    eps1 = h.eps1
    weight = a.power(a.number(float(t)), h.beta2_decay)
    kept = dict(s)
    if "variance" in s:
        kept["variance"] = v = s["variance"] + weight * (g * g - s["variance"])
    else:
        rows, columns = p.shape[-2:]
        kept["row_var"] = row = s["row_var"] + weight * (a.sum(g * g, axis=-1) / columns - s["row_var"])
        kept["col_var"] = column = s["col_var"] + weight * (a.sum(g * g, axis=-2) / rows - s["col_var"])
        v = row * column / a.maximum(a.sum(row, axis=-2) / rows, eps1)
    u = g / a.sqrt(a.maximum(v, eps1 * eps1))
    count = max(1, math.prod(p.shape))
    rms_p, rms_u = a.sqrt(a.sum(p * p) / count), a.sqrt(a.sum(u * u) / count)
    step = a.minimum(h.lr, 1 / a.sqrt(a.number(float(t)))) * a.maximum(h.eps2, rms_p)
    return p - h.lr * h.weight_decay * p - step * u / a.maximum(a.number(1.0), rms_u / h.d), kept


def _variances(a: Any, p: Any) -> dict[str, Any]:
    if len(p.shape) < 2:
        return {"variance": a.zeros(p.shape)}
    return {"row_var": a.zeros((*p.shape[:-1], 1)), "col_var": a.zeros((*p.shape[:-2], 1, p.shape[-1]))}


@define("muon", "buffer")
@uphill
def muon(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Jordan et al. 2024; Liu et al. 2025 for ``match_rms_adamw``: the polynomial iteration in exact arithmetic, of
    which every implementation in bfloat16 is a rounding.
    """
    buffer = h.momentum * s["buffer"] + a.complement(h.momentum) * g
    x = h.momentum * buffer + a.complement(h.momentum) * g if o["nesterov"] else buffer
    rows, columns = p.shape
    if rows > columns:
        x = a.transpose(x)
    x = x / a.maximum(a.sqrt(a.sum(x * x)), h.eps)
    for _ in range(o["ns_steps"]):
        gram = a.matmul(x, a.transpose(x))
        x = h.ns_a * x + a.matmul(h.ns_b * gram + h.ns_c * a.matmul(gram, gram), x)
    if rows > columns:
        x = a.transpose(x)
    if o["adjust_lr_fn"] == "match_rms_adamw":
        ratio = a.sqrt(a.number(float(max(rows, columns)))) / 5
    else:
        ratio = a.sqrt(a.maximum(a.number(1.0), a.number(float(rows)) / columns))
    return p - h.lr * h.weight_decay * p - h.lr * ratio * x, {"buffer": buffer}
