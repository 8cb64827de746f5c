"""Rules with a first and a second moment: Adam and its kin."""

from __future__ import annotations

from typing import Any

from .definition import define, uphill


def average(a: Any, beta: Any, before: Any, new: Any) -> Any:
    """``β·before + (1−β)·new``."""
    return beta * before + a.complement(beta) * new


@define("adam", "m", "v", "v_max")
@uphill
def adam(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2; AMSGrad: torch takes the largest v, then
    corrects its bias.
    """
    if not o["decoupled"]:
        g = g + h.weight_decay * p
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], g * g)
    v_max = a.maximum(s["v_max"], v)
    v_hat = (v_max if o["amsgrad"] else v) / a.correction(h.beta2, t)
    step = h.lr * (m / a.correction(h.beta1, t)) / (a.sqrt(v_hat) + h.eps)
    if o["decoupled"]:
        step = step + h.lr * h.weight_decay * p
    return p - step, {"m": m, "v": v, "v_max": v_max}


@define("adamax", "m", "u")
@uphill
def adamax(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Kingma & Ba 2015, algorithm 2, with torch's eps inside the maximum."""
    g = g + h.weight_decay * p
    m, u = average(a, h.beta1, s["m"], g), a.maximum(h.beta2 * s["u"], a.size(g) + h.eps)
    return p - h.lr / a.correction(h.beta1, t) * m / u, {"m": m, "u": u}


@define(
    "nadam",
    "m",
    "v",
    start=lambda a, p: {"mu_product": a.number(1.0)},
    elsewhere={"mu_product": lambda kept: 1 - kept["mu_gap"] if "mu_gap" in kept else None},
)
@uphill
def nadam(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Dozat 2016, algorithm 2, with his momentum schedule ``β₁·(1 − 0.96^{t·ψ}/2)``."""

    def mu(t: int) -> Any:
        return h.beta1 * (1 - a.power(a.number(96.0) / 100, t * h.momentum_decay) / 2)

    if not o["decoupled"]:
        g = g + h.weight_decay * p
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], g * g)
    product = s["mu_product"] * mu(t)
    look_ahead = a.complement(mu(t)) / a.complement(product) * g + mu(t + 1) / a.complement(product * mu(t + 1)) * m
    step = h.lr * look_ahead / (a.sqrt(v / a.correction(h.beta2, t)) + h.eps)
    if o["decoupled"]:
        step = step + h.lr * h.weight_decay * p
    return p - step, {"m": m, "v": v, "mu_product": product}


@define("radam", "m", "v")
@uphill
def radam(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Liu et al. 2020, algorithm 2, with torch's threshold of 5 and its eps beside the uncorrected root."""
    if not o["decoupled"]:
        g = g + h.weight_decay * p
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], g * g)
    step = h.lr * (m / a.correction(h.beta1, t))
    rectifier = a.rectifier(h.beta2, t, threshold=5)
    if rectifier is not None:
        step = step * rectifier * a.sqrt(a.correction(h.beta2, t)) / (a.sqrt(v) + h.eps)
    if o["decoupled"]:
        step = step + h.lr * h.weight_decay * p
    return p - step, {"m": m, "v": v}


@define("adabelief", "m", "v")
@uphill
def adabelief(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Zhuang et al. 2020, algorithm 2, their eps in the root named eps_root; Nesterov as in Dozat's NAdam."""
    m = average(a, h.beta1, s["m"], g)
    surprise = g - m
    v = average(a, h.beta2, s["v"], surprise * surprise) + h.eps_root
    m_hat = m / a.correction(h.beta1, t)
    if o["nesterov"]:
        m_hat = h.beta1 * m / a.correction(h.beta1, t + 1) + a.complement(h.beta1) * g / a.correction(h.beta1, t)
    return p - h.lr * m_hat / (a.sqrt(v / a.correction(h.beta2, t)) + h.eps), {"m": m, "v": v}


@define("adan", "m", "v", "n", "g_last")
@uphill
def adan(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Xie et al. 2022, algorithm 1, with decay rates (one minus the paper's) and the bias corrections of its code."""
    change = a.zeros(p.shape) if t == 1 else g - s["g_last"]
    ahead = g + h.beta2 * change
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], change)
    n = average(a, h.beta3, s["n"], ahead * ahead)
    top = m / a.correction(h.beta1, t) + h.beta2 * (v / a.correction(h.beta2, t))
    step = h.lr * top / (a.sqrt(n / a.correction(h.beta3, t) + h.eps_root) + h.eps)
    decay = h.lr * h.weight_decay
    return (p - step) / (1 + decay) if o["proximal"] else p - decay * p - step, {"m": m, "v": v, "n": n, "g_last": g}


@define("lamb", "m", "v")
@uphill
def lamb(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """You et al. 2020, algorithm 2, φ the identity; 1 in place of a ratio with a norm of 0."""
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], g * g)
    u = m / a.correction(h.beta1, t) / (a.sqrt(v / a.correction(h.beta2, t) + h.eps_root) + h.eps)
    u = u + h.weight_decay * p
    p_norm, u_norm = a.sqrt(a.sum(p * p)), a.sqrt(a.sum(u * u))
    ratio = 1 if p_norm == 0 or u_norm == 0 else p_norm / u_norm
    return p - h.lr * ratio * u, {"m": m, "v": v}


@define("sparse_adam", "m", "v")
@uphill
def sparse_adam(a: Any, o: Any, h: Any, s: Any, t: int, g: Any, p: Any) -> Any:
    """Adam on the entries that a sparse gradient names (those that are not 0); ``torch/optim/_functional.py``."""
    named = g != 0
    m, v = average(a, h.beta1, s["m"], g), average(a, h.beta2, s["v"], g * g)
    lr = h.lr * a.sqrt(a.correction(h.beta2, t)) / a.correction(h.beta1, t)
    moved = p - lr * m / (a.sqrt(v) + h.eps)
    return a.where(named, moved, p), {"m": a.where(named, m, s["m"]), "v": a.where(named, v, s["v"])}
