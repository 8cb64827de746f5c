"""Families of rules that treat every coordinate alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import family

DECAY = ("added to the gradient", "beside the update, times lr", "beside the update, without lr")
EPS_OUTSIDE, EPS_INSIDE = "outside the root", "inside the root"
BESIDE = "beside the uncorrected root"
NESTEROV, DOZAT = "Nesterov's, bias-corrected", "Dozat's, with his momentum schedule"


def decayed(n: Any, k: Any, g: Any, p: Any) -> Any:
    """The gradient with coupled decay."""
    return g + n.weight_decay * p if k["weight decay"] == DECAY[0] else g


def removed(n: Any, k: Any, p: Any, lr: float) -> Any:
    """What decay beside the update takes away."""
    if k["weight decay"] == DECAY[0]:
        return 0.0
    return (lr if k["weight decay"] == DECAY[1] else 1.0) * n.weight_decay * p


def root(n: Any, k: Any, v: Any, left: Any = 1.0, inside: Any = 0.0) -> Any:
    """The root of a second moment over what its bias leaves, with eps where the switch has it."""
    if k["eps"] == EPS_OUTSIDE:
        return np.sqrt(v / left + inside) + n.eps
    if k["eps"] == EPS_INSIDE:
        return np.sqrt(v / left + inside + n.eps)
    return (np.sqrt(v) + n.eps) / np.sqrt(left)


def average(s: dict[str, Any], name: str, beta: float, new: Any, start: float = 0.0) -> Any:
    """A running average in the state."""
    s[name] = beta * s.get(name, start) + (1 - beta) * new
    return s[name]


def buffered(n: Any, k: Any, s: dict[str, Any], step: Any, lr: float, share: float = 1) -> Any:
    """The update by a step that momentum is added to; lr is inside the buffer or outside."""
    inside = k["lr"] == "inside the buffer"
    step = lr * step if inside else step
    if n.momentum:
        b = s["b"] = n.momentum * s.get("b", 0.0) + share * step
        step = step + n.momentum * b if k["look-ahead"] == "Nesterov's" else b
    return step if inside else lr * step


@family(
    "adam",
    {
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "eps_root": 0.0,
        "weight_decay": 0.0,
        "momentum_decay": 4e-3,
        "threshold": 5.0,
    },
    {
        "eps": (EPS_OUTSIDE, BESIDE, EPS_INSIDE),
        "largest second moment": ("none", "taken before the bias correction", "taken after the bias correction"),
        "look-ahead": ("none", NESTEROV, DOZAT),
        "rectifier": ("none", "Liu's"),
        "weight decay": DECAY,
        "bias correction of the first moment": ("yes", "no", "one step behind"),
        "bias correction of the second moment": ("yes", "no", "one step behind"),
        "second moment": ("of the gradient", "of its surprise"),
        "betas": ("in order", "swapped"),
        "sign": ("down", "up"),
    },
)
def adam(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adam, AdamW, AMSGrad, NAdam, RAdam and AdaBelief."""
    beta1, beta2 = (n.beta1, n.beta2) if k["betas"] == "in order" else (n.beta2, n.beta1)
    g = decayed(n, k, g, p)
    m = average(s, "m", beta1, g)
    surprise = k["second moment"] == "of its surprise"
    v = average(s, "v", beta2, (g - m) ** 2 if surprise else g * g)
    if surprise:
        v = s["v"] = v + n.eps_root
    correction = {"yes": lambda b: n.left(b, t), "no": lambda b: 1.0, "one step behind": lambda b: n.left(b, t + 1)}
    c1 = correction[k["bias correction of the first moment"]](beta1)
    c2 = correction[k["bias correction of the second moment"]](beta2)
    if k["largest second moment"] == "taken before the bias correction":
        v = s["largest"] = np.maximum(s.get("largest", 0.0), v)
    elif k["largest second moment"] == "taken after the bias correction":
        s["largest"] = np.maximum(s.get("largest", 0.0), v / c2)
        v = s["largest"] * c2
    top = m / c1
    if k["look-ahead"] == NESTEROV:
        top = beta1 * m / n.left(beta1, t + 1) + (1 - beta1) * g / c1
    elif k["look-ahead"] == DOZAT:
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * n.momentum_decay))
        ahead = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * n.momentum_decay))
        product = s["product"] = s.get("product", 1.0) * mu
        top = (1 - mu) / (1 - product) * g + ahead / (1 - product * ahead) * m
    step = top / root(n, k, v, c2, 0.0 if surprise else n.eps_root)
    if k["rectifier"] != "none":
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) if rho > n.threshold else None
        step = top if r is None else r * step
    return p - lr * step - removed(n, k, p, lr)


@family(
    "adamax",
    {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    {"eps": ("inside the maximum", "beside the maximum"), "weight decay": DECAY},
)
def adamax(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adamax."""
    g = decayed(n, k, g, p)
    m = average(s, "m", n.beta1, g)
    within = k["eps"] == "inside the maximum"
    u = s["u"] = np.maximum(n.beta2 * s.get("u", 0.0), np.abs(g) + (n.eps if within else 0.0))
    return p - lr * m / (1 - n.beta1**t) / (u + (0.0 if within else n.eps)) - removed(n, k, p, lr)


@family(
    "rmsprop",
    {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0, "initial": 0.0},
    {
        "eps": (EPS_OUTSIDE, EPS_INSIDE),
        "centred": ("no", "yes"),
        "lr": ("outside the buffer", "inside the buffer"),
        "look-ahead": ("none", "Nesterov's"),
        "bias correction": ("no", "yes"),
        "weight decay": DECAY,
        "sign": ("down", "up"),
    },
)
def rmsprop(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """RMSprop."""
    g = decayed(n, k, g, p)
    c = 1 - n.alpha**t if k["bias correction"] == "yes" else 1.0
    v = average(s, "v", n.alpha, g * g, n.initial) / c
    if k["centred"] == "yes":
        v = v - (average(s, "g", n.alpha, g) / c) ** 2
    step = g / root(n, k, v)
    return p - buffered(n, k, s, step, lr) - removed(n, k, p, lr)


@family(
    "sgd",
    {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0},
    {
        "look-ahead": ("none", "Nesterov's"),
        "lr": ("outside the buffer", "inside the buffer"),
        "first gradient": ("enters undamped", "enters damped"),
        "weight decay": DECAY,
        "sign": ("down", "up"),
    },
    decades=6.0,
)
def sgd(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """SGD with momentum."""
    g = decayed(n, k, g, p)
    share = 1 if t == 1 and k["first gradient"] == "enters undamped" else 1 - n.dampening
    return p - buffered(n, k, s, g, lr, share) - removed(n, k, p, lr)


@family(
    "adagrad",
    {"eps": 1e-10, "lr_decay": 0.0, "weight_decay": 0.0, "initial": 0.0},
    {"eps": (EPS_OUTSIDE, EPS_INSIDE), "weight decay": DECAY},
)
def adagrad(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adagrad."""
    g = decayed(n, k, g, p)
    total = s["sum"] = s.get("sum", n.initial) + g * g
    bottom = root(n, k, total)
    step = np.where(total > 0, g / np.where(bottom > 0, bottom, 1), 0.0)
    return p - lr / (1 + (t - 1) * n.lr_decay) * step - removed(n, k, p, lr)


@family(
    "adadelta",
    {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    {"eps": ("inside both roots", "outside both roots"), "weight decay": DECAY},
)
def adadelta(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adadelta."""
    g = decayed(n, k, g, p)
    of = (lambda x: np.sqrt(x + n.eps)) if k["eps"] == "inside both roots" else (lambda x: np.sqrt(x) + n.eps)
    v, before = average(s, "v", n.rho, g * g), s.get("delta", np.zeros_like(g))
    delta = of(before) / of(v) * g
    average(s, "delta", n.rho, delta * delta)
    return p - lr * delta - removed(n, k, p, lr)


@family(
    "rprop",
    {"eta_minus": 0.5, "eta_plus": 1.2, "step_size_min": 1e-6, "step_size_max": 50.0},
    {
        "step": ("taken at once", "taken one call late"),
        "bounds": ("at every step", "where the step size changes"),
    },
    decades=4.0,
)
def rprop(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Rprop without backtracking; its lr is the first step size, and later ones play no part."""
    turned = g * s.get("prev", np.zeros_like(g))
    size = s.get("size", np.full_like(g, n.lr))
    changed = size * np.where(turned > 0, n.eta_plus, np.where(turned < 0, n.eta_minus, 1.0))
    clipped = np.clip(changed, n.step_size_min, n.step_size_max)
    size = s["size"] = np.where(turned == 0, changed, clipped) if k["bounds"] != "at every step" else clipped
    s["prev"] = np.where(turned < 0, 0.0, g)
    step = size * np.sign(s["prev"])
    if k["step"] == "taken one call late":
        late, s["late"] = np.where(turned < 0, 0.0, s.get("late", np.zeros_like(g))), step
        step = late
    return p - step


@family(
    "adan",
    {"beta1": 0.98, "beta2": 0.92, "beta3": 0.99, "eps": 1e-8, "eps_root": 0.0, "weight_decay": 0.0},
    {"weight of differences": ("beta2", "1 − beta2"), "weight decay": ("proximal", DECAY[1])},
)
def adan(n: Any, k: Any, s: dict[str, Any], t: int, g: Any, p: Any, lr: float) -> Any:
    """Adan."""
    weight = n.beta2 if k["weight of differences"] == "beta2" else 1 - n.beta2
    change = g - s.get("last", g)
    s["last"] = g
    m, v = average(s, "m", n.beta1, g), average(s, "v", n.beta2, change)
    bottom = np.sqrt(average(s, "n", n.beta3, (g + weight * change) ** 2) / (1 - n.beta3**t) + n.eps_root) + n.eps
    step = lr * (m / (1 - n.beta1**t) + weight * v / (1 - n.beta2**t)) / bottom
    decay = lr * n.weight_decay
    return (p - step) / (1 + decay) if k["weight decay"] == "proximal" else p - step - decay * p


ELEMENTWISE = (sgd, adam, adamax, rmsprop, adagrad, adadelta, rprop, adan)
