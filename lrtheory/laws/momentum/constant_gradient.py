r"""The steps of a rule while the gradient stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.momentum import steady_effective_lr
from ..law import Rng, Shown, law, relative, without
from ..trajectory import replay

STEPS = 60
GRADIENTS = np.array([2.5, -1e-3])


def sgd_steps(hyper: Any, g: float, t: np.ndarray) -> np.ndarray:
    r""":math:`lr \cdot g((1-\tau)(1-\mu^t)/(1-\mu) + \tau\mu^{t-1})` with momentum μ and dampening τ."""
    built_up = (1 - hyper.momentum**t) / (1 - hyper.momentum)
    return hyper.lr * g * ((1 - hyper.dampening) * built_up + hyper.dampening * hyper.momentum ** (t - 1.0))


def adam_steps(hyper: Any, g: float, t: np.ndarray) -> np.ndarray:
    """lr·g/(abs(g) + eps), from t = 1 on."""
    return np.full(t.shape, hyper.lr * g / (abs(g) + hyper.eps))


def rmsprop_steps(hyper: Any, g: float, t: np.ndarray) -> np.ndarray:
    """lr·g/(abs(g)·√(1 − alphaᵗ) + eps): at alpha 0.99 the first step is ten times lr."""
    return hyper.lr * g / (abs(g) * np.sqrt(1 - hyper.alpha**t) + hyper.eps)


def _of(rule: Rule, numbers: Callable[[Rng], dict[str, float]]) -> Any:
    def steps(formula: Any, rng: Rng) -> Shown:
        hyper, t = rule.hyper(lr=0.1, **numbers(rng)), np.arange(1, STEPS + 1)
        removed = replay(rule, hyper, np.tile(GRADIENTS, (STEPS, 1))).steps
        yield relative(removed, np.stack([formula(hyper, float(g), t) for g in GRADIENTS], axis=1))
        given = ", ".join(f"{k}={v:.3g}" for k, v in hyper._asdict().items() if v)
        yield f"{rule!r} with {given}: {STEPS} steps of constant gradients 2.5 and -0.001"

    return steps


_ROUNDING: Any = {
    "bound": 1e-12,
    "why": "largest relative error of a step: parameters grow to 60 times a step and their difference loses as many ulps, "
    "averages as many again; 1e-12 is 75 times 60 ulps",
    "key": 52,
}


sgd = law(
    r"""exact momentum.constant-gradient-sgd: SGD with momentum builds up
    \Delta_t = lr \cdot g \left( (1 - dampening) \frac{1 - momentum^t}{1 - momentum} + dampening \cdot momentum^{t-1}
    \right)
    scope: sgd, momentum below 1, not nesterov. Without dampening the last term is 0; it comes from the first gradient,
    which torch keeps undamped
    source: torch/optim/sgd.py (2.13), summed; derived here
    """,
    sgd_steps,
    {
        "first gradient damped": lambda h, g, t: sgd_steps(h, g, t) - h.lr * g * h.dampening * h.momentum ** (t - 1.0),
        "at once": lambda h, g, t: np.full(t.shape, h.lr * g * (1 - h.dampening) / (1 - h.momentum)),
    },
    **_ROUNDING,
)(_of(rules.sgd(), lambda rng: {"momentum": rng.uniform(0.5, 0.9), "dampening": rng.uniform(0.2, 0.8)}))

adam = law(
    r"""exact momentum.constant-gradient-adam: Adam steps by lr from the first step on
    \Delta_t = lr \cdot \frac{g}{|g| + eps}, \quad t = 1, 2, \dots
    scope: adam and adamax with any betas: both bias corrections are exact for a constant gradient, so that no warm-up
    is seen. The size of the gradient enters through eps alone
    source: 1412.6980, algorithm 1, for a constant gradient; derived here
    """,
    adam_steps,
    {
        "eps left out": lambda h, g, t: np.full(t.shape, h.lr * np.sign(g)),
        "moments not corrected": lambda h, g, t: adam_steps(h, g, t) * (1 - h.beta1**t) / np.sqrt(1 - h.beta2**t),
    },
    **_ROUNDING,
)(
    _of(
        rules.adam(),
        lambda rng: {
            "beta1": rng.uniform(0, 0.95),
            "beta2": rng.uniform(0.5, 0.999),
            "eps": 10.0 ** rng.uniform(-8, -3),
        },
    )
)

rmsprop = law(
    r"""exact momentum.constant-gradient-rmsprop: RMSprop starts with large steps
    \Delta_t = lr \cdot \frac{g}{|g| \sqrt{1 - alpha^t} + eps}
    scope: rmsprop, not centered, without momentum: no bias correction, so that the first step is lr/√(1−alpha), ten
    times lr at 0.99, and lr is reached after some 1/(1−alpha) steps
    source: torch/optim/rmsprop.py (2.13) for a constant gradient; derived here
    """,
    rmsprop_steps,
    {
        "bias corrected": lambda h, g, t: np.full(t.shape, h.lr * g / (abs(g) + h.eps)),
        "one step late": lambda h, g, t: rmsprop_steps(h, g, t + 1),
    },
    **_ROUNDING,
)(_of(rules.rmsprop(), lambda rng: {"alpha": rng.uniform(0.9, 0.999), "eps": 10.0 ** rng.uniform(-8, -4)}))

adagrad = law(
    r"""exact momentum.constant-gradient-adagrad: Adagrad's steps fall as 1/√t
    \Delta_t = lr \cdot \frac{g}{|g| \sqrt{t} + eps}
    scope: adagrad with lr_decay 0 and initial_accumulator_value 0
    source: Duchi et al. 2011, JMLR 12, eq. 1; torch/optim/adagrad.py (2.13)
    """,
    lambda h, g, t: h.lr * g / (abs(g) * np.sqrt(t) + h.eps),
    {
        "falls as one over t": lambda h, g, t: h.lr * g / (abs(g) * t + h.eps),
        "counts from zero": lambda h, g, t: h.lr * g / (abs(g) * np.sqrt(np.maximum(t - 1, 1)) + h.eps),
    },
    **_ROUNDING,
)(_of(rules.adagrad(), lambda rng: {"eps": 10.0 ** rng.uniform(-10, -4)}))

rmsprop_centered = law(
    r"""exact momentum.constant-gradient-rmsprop-centered: Centered RMSprop's steps grow without bound
    \Delta_t = lr \cdot \frac{g}{|g| \sqrt{alpha^t (1 - alpha^t)} + eps}
    scope: rmsprop(centered=True) without momentum. At eps 0 the smallest step is 2·lr, where alphaᵗ = 1/2; then steps
    grow as alpha^(−t/2) until eps holds them at lr·|g|/eps. In floating point the variance rounds to 0 or below near αᵗ
    = 2⁻⁵³ and gives inf or nan, as in torch
    source: v − g_avg² = alphaᵗ(1−alphaᵗ)·g²; torch/optim/rmsprop.py (2.13); derived here
    """,
    lambda hyper, g, t: hyper.lr * g / (abs(g) * np.sqrt(hyper.alpha**t * (1 - hyper.alpha**t)) + hyper.eps),
    {
        "not centered": rmsprop_steps,
        "variance without the mean": lambda h, g, t: h.lr * g / (abs(g) * np.sqrt(h.alpha**t) + h.eps),
    },
    bound=1e-9,
    why="v and g_avg² agree to alphaᵗ ≥ 0.85^60 = 6e-5, so that some 60 roundings of 2^-53 grow to 60·2^-53/6e-5 = 1e-10; "
    "half of it reaches the root, and the difference of parameters adds 1e-14",
    key=52,
)(_of(rules.rmsprop(centered=True), lambda rng: {"alpha": rng.uniform(0.85, 0.97), "eps": 10.0 ** rng.uniform(-8, -5)}))


@law(
    r"""exact momentum.steady-effective-lr: Where the effective lr settles
    E_\infty = \frac{lr \cdot gain}{|g| + eps} \quad (\text{sgd: } lr \cdot gain; \; \text{lion, signum: }
    \frac{lr}{|g|}; \; \text{adabelief: } \frac{lr}{\sqrt{eps\_root/(1 - beta2)} + eps}; \; \text{adadelta: } lr)
    scope: in the limit of many steps of one gradient: adam, nadam, adamax, adan, sparse_adam, rmsprop, radam with beta2
    above 2/3 (otherwise lr), and those named. adagrad, asgd, adafactor and rprop never settle; lars and lamb follow
    norms; muon has no effective lr of a coordinate
    source: fixed points of each rule's recursion; derived here, each formula held to its rule
    ran: sgd, adam, adamax, radam, adabelief, rmsprop and lion with eps 0.1: effective lr after 250 steps of constant
    gradients 2.5 and -0.001
    why: the start is forgotten to 0.8^250 < 1e-24, and RAdam's rectifier to 250·0.75^250 < 1e-28; the rest is rounding:
    averages of 250 terms, AdaBelief's at a distance of 2^-52·2.5 from the gradient against √0.01
    """,
    steady_effective_lr,
    {
        "eps left out": lambda rule, hyper, g: steady_effective_lr(rule, without(hyper, "eps"), g),
        "momentum averages": lambda rule, hyper, g: steady_effective_lr(rule, without(hyper, "momentum"), g),
    },
    bound=1e-11,
    key=53,
)
def where_it_settles(formula: Any, rng: Rng) -> Shown:
    lr, beta = rng.uniform(0.05, 0.5), rng.uniform(0.5, 0.8)
    moments = {"beta1": rng.uniform(0.3, 0.8), "beta2": beta, "eps": 0.1}
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {"momentum": beta, "dampening": 0.3}),
        (rules.adam(), moments),
        (rules.adamax(), moments),
        (rules.radam(), {**moments, "beta2": 0.75}),
        (rules.adabelief(), {**moments, "eps_root": 0.01}),
        (rules.rmsprop(), {"alpha": beta, "momentum": 0.5, "eps": 0.1}),
        (rules.lion(), {}),
    ]
    for rule, numbers in cases:
        hyper = rule.hyper(lr=lr, **numbers)
        settled = replay(rule, hyper, np.tile(GRADIENTS, (250, 1))).effective_lr[-1]
        expected = np.array([formula(rule, hyper, abs(float(g))) for g in GRADIENTS])
        yield relative(settled, expected)
