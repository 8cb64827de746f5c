"""Schedule-free SGD and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .definition import define, uphill
from .moments import average


def _start(a: Any, p: Any) -> dict[str, Any]:
    return {"z": p, "max_lr": a.number(0.0), "total": a.number(0.0), "share": a.number(0.0), "behind": None}


def _behind(kept: Mapping[str, Any]) -> Any:
    if "pull" not in kept:
        return None
    return kept["pull"] + kept["decay_pull"] if "decay_pull" in kept else kept["pull"]


def _averaged(a: Any, h: Any, s: Any, p: Any, step: Any) -> Any:
    """Defazio et al. 2024, algorithm 1: z takes the step, x averages z, y lies between.

    From the state that an implementation keeps: x_{t-1} − z_t is given by what it carries for it (``behind``, before
    the last z was averaged in), or follows from y and z.
    """
    total = s["total"]
    x_minus_z = (p - s["z"]) / h.beta1 if s["behind"] is None else (1 - s["share"]) * s["behind"]
    z = s["z"] - step
    max_lr = a.maximum(s["max_lr"], h.lr)
    weight = a.number(1.0) if h.weight_lr_power == 0 else a.power(max_lr, h.weight_lr_power)
    total = total + weight
    share = weight / total if total != 0 else a.number(0.0)
    y = p - a.complement(h.beta1) * step - h.beta1 * share * (x_minus_z + step)
    return y, {"z": z, "max_lr": max_lr, "total": total, "share": share, "behind": None}


@define("schedule_free_sgd", start=_start, elsewhere={"behind": _behind})
@uphill
def schedule_free_sgd(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """With decay coupled at y."""
    return _averaged(a, h, s, p, h.lr * (g + h.weight_decay * p))


@define("schedule_free_adamw", "v", start=_start, elsewhere={"behind": _behind})
@uphill
def schedule_free_adamw(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """With AdamW's decay at y."""
    v = average(a, h.beta2, s["v"], g * g)
    step = h.lr * (g / (a.sqrt(v / a.correction(h.beta2, t)) + h.eps) + h.weight_decay * p)
    p, kept = _averaged(a, h, s, p, step)
    return p, {"v": v, **kept}
