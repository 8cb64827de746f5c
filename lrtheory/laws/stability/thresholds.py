"""The thresholds of linear rules, as laws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ..law import Law
from . import closed_forms, three_ways
from .three_ways import Numbers

Draw = Callable[[np.random.Generator, int], Numbers]
_CHECKED = "; checked against the eigenvalues of the rule's Jacobian and by runs"
_FROZEN = "with the preconditioner held: h is the curvature of the preconditioned loss, and eps ≫ √v in the runs"


def _law(
    name: str,
    title: str,
    statement: str,
    scope: str,
    source: str,
    over: tuple[Rule, ...],
    draw: Draw,
    formula: Callable[..., Any],
    mutants: Mapping[str, Callable[..., Any]],
    delay: int = 0,
) -> Law:
    return Law(
        id=f"stability.{name}",
        title=title,
        statement=statement,
        kind="exact",
        scope=scope,
        source=source + _CHECKED,
        formula=formula,
        check=lambda wrong, seed: three_ways.check(over, draw, wrong, seed, delay),
        mutants=mutants,
    )


def _drawn(**ranges: tuple[float, float]) -> Draw:
    """Numbers drawn evenly between ends; lr is drawn in log scale."""

    def draw(rng: np.random.Generator, n: int) -> Numbers:
        return {
            name: np.exp(rng.uniform(np.log(low), np.log(high), n)) if name == "lr" else rng.uniform(low, high, n)
            for name, (low, high) in ranges.items()
        }

    return draw


_LR = (1e-3, 1.0)
_MOMENTUM = (0.2, 0.95)
_BETA = (0.3, 0.95)
_SHORT = (0.85, 0.95)  # a memory that is short against the runs, so that RAdam's rectifier is done


def _nadam(lr: Any, beta1: Any, momentum_decay: Any, of: Callable[..., Any] = closed_forms.nadam) -> Any:
    """NAdam at a momentum that does not move: β₁/2 without momentum decay, β₁ where it is long over."""
    mu = np.where(momentum_decay == 0, beta1 / 2, beta1)
    return of(lr, beta1, mu, mu)


def _nadam_numbers(rng: np.random.Generator, n: int) -> Numbers:
    return {**_drawn(lr=_LR, beta1=_BETA)(rng, n), "momentum_decay": np.resize([0.0, 1e6], n)}


LAWS = (
    _law(
        "gradient-descent",
        "gradient descent",
        r"h < 2/lr",
        f"SGD without momentum; RMSprop without momentum and Adagrad without lr decay, {_FROZEN}",
        "|1 − lr h| = 1",
        (rules.sgd(), rules.rmsprop(momentum_buffer=False), rules.adagrad()),
        _drawn(lr=_LR),
        closed_forms.gradient_descent,
        {"1/lr": lambda lr: 1 / lr, "4/lr": lambda lr: 4 / lr},
    ),
    _law(
        "heavy-ball",
        "heavy ball",
        r"h < \frac{2(1+momentum)}{lr(1-dampening)}",
        "SGD with 0 < momentum < 1 and dampening < 1; the undamped first gradient does not matter",
        "Jury's conditions on λ² − (1+μ−eh)λ + μ with e = lr(1−τ)",
        (rules.sgd(),),
        _drawn(lr=_LR, momentum=_MOMENTUM, dampening=(0.1, 0.9)),
        closed_forms.heavy_ball,
        {
            "gain 1/(1−μ) in place of 1+μ": lambda lr, momentum, dampening: 2 * (1 - momentum) / (lr * (1 - dampening)),
            "dampening forgotten": lambda lr, momentum, dampening: closed_forms.heavy_ball(lr, momentum),
        },
    ),
    _law(
        "nesterov",
        "Nesterov's look-ahead",
        r"h < \frac{2(1+momentum)}{(1+2\,momentum)\,lr}",
        "SGD with nesterov and 0 < momentum < 1",
        "Jury's conditions on the characteristic polynomial with trace 1+μ−(1+μ)lr·h and determinant μ(1−lr·h)",
        (rules.sgd(nesterov=True),),
        _drawn(lr=_LR, momentum=_MOMENTUM),
        closed_forms.nesterov,
        {
            "that of heavy ball": closed_forms.heavy_ball,
            "1+μ for 1+2μ": lambda lr, momentum: 2 / lr,
        },
    ),
    _law(
        "rmsprop-momentum",
        "RMSprop with momentum",
        r"h < 2(1+momentum)/lr",
        f"RMSprop, plain and centred, {_FROZEN}",
        "heavy ball on the preconditioned loss",
        (rules.rmsprop(), rules.rmsprop(centered=True)),
        _drawn(lr=_LR, momentum=_MOMENTUM, alpha=(0.9, 0.99)),
        lambda lr, momentum, alpha: closed_forms.heavy_ball(lr, momentum),
        {"no momentum": lambda lr, momentum, alpha: 2 / lr},
    ),
    _law(
        "adam",
        "Adam",
        r"h < \frac{2(1+beta1)}{(1-beta1)\,lr}",
        f"Adam, AMSGrad, Adamax, AdaBelief, and RAdam once its rectifier has risen to 1, {_FROZEN}",
        "Cohen et al. 2022, 2207.14484",
        (rules.adam(), rules.adam(amsgrad=True), rules.adamax(), rules.adabelief(), rules.radam()),
        _drawn(lr=_LR, beta1=_BETA, beta2=_SHORT),
        lambda lr, beta1, beta2: closed_forms.adam(lr, beta1),
        {
            "that of heavy ball": lambda lr, beta1, beta2: closed_forms.heavy_ball(lr, beta1),
            "(1+β₁)/(1−β₁) upside down": lambda lr, beta1, beta2: 2 * (1 - beta1) / ((1 + beta1) * lr),
        },
    ),
    _law(
        "adamw",
        "AdamW",
        r"h < \frac{1+beta1}{1-beta1}\left(\frac{2}{lr} - weight\_decay\right)",
        f"Adam and RAdam with decoupled decay, {_FROZEN}",
        "derived here from z' = −z",
        (rules.adam(decoupled=True), rules.radam(decoupled=True)),
        _drawn(lr=_LR, beta1=_BETA, beta2=_SHORT, weight_decay=(0.1, 1.0)),
        lambda lr, beta1, beta2, weight_decay: closed_forms.adam(lr, beta1, weight_decay),
        {
            "decay forgotten": lambda lr, beta1, beta2, weight_decay: closed_forms.adam(lr, beta1),
            "decay as if coupled": lambda lr, beta1, beta2, weight_decay: closed_forms.adam(lr, beta1) - weight_decay,
        },
    ),
    _law(
        "nadam",
        "NAdam",
        r"h < \frac{2(1+beta1)}{((1+beta1)(1-\mu_t) + (1-beta1)\mu_{t+1})\,lr}",
        f"NAdam once the product of its momenta is gone, {_FROZEN}. The threshold moves with μ: at the default beta1 from "
        "3.5/lr to 13.6/lr. Where μ stands still it is 2(1+beta1)/((1+beta1−2μ beta1)lr)",
        "derived here from z' = −z; with one μ for both, as often written, it is right only where μ stands still",
        (rules.nadam(),),
        _nadam_numbers,
        _nadam,
        {
            "that of Adam": lambda lr, beta1, momentum_decay: closed_forms.adam(lr, beta1),
            "μ = β₁ from the start": lambda lr, beta1, momentum_decay: closed_forms.nadam(lr, beta1, beta1, beta1),
        },
    ),
    _law(
        "adan",
        "Adan",
        r"h < \frac{2 + lr\,weight\_decay}{lr\left(\frac{1-beta1}{1+beta1} + \frac{2\,beta2(1-beta2)}{1+beta2}\right)}",
        f"Adan with proximal decay, {_FROZEN}; beta1 and beta2 are decay rates, as in the code",
        "derived here from z' = −z",
        (rules.adan(),),
        _drawn(lr=_LR, beta1=(0.9, 0.99), beta2=(0.8, 0.95), weight_decay=(0.1, 1.0)),
        closed_forms.adan,
        {
            "that of Adam": lambda lr, beta1, beta2, weight_decay: closed_forms.adam(lr, beta1),
            "decay as if not proximal": functools.partial(closed_forms.adan, proximal=False),
        },
    ),
    _law(
        "coupled-decay",
        "coupled weight decay",
        r"h + weight\_decay < \frac{2(1+momentum)}{lr(1-dampening)}",
        "SGD; likewise for every rule that adds the decay to the gradient, before a preconditioner divides both",
        "the gradient is (h + wd)p",
        (rules.sgd(),),
        _drawn(lr=(1e-2, 1.0), momentum=_MOMENTUM, dampening=(0.1, 0.9), weight_decay=(0.01, 1.0)),
        lambda lr, momentum, dampening, weight_decay: closed_forms.with_coupled_decay(
            closed_forms.heavy_ball(lr, momentum, dampening), weight_decay
        ),
        {
            "decay forgotten": lambda lr, momentum, dampening, weight_decay: closed_forms.heavy_ball(
                lr, momentum, dampening
            ),
            "decay adds room": lambda lr, momentum, dampening, weight_decay: (
                closed_forms.heavy_ball(lr, momentum, dampening) + weight_decay
            ),
        },
    ),
    *(
        _law(
            f"delayed-{delay}",
            f"gradient {delay} steps old",
            r"h < 2\sin\left(\frac{\pi}{2(2d+1)}\right)/lr",
            f"SGD without momentum whose gradient is taken at the parameters of d = {delay} steps ago",
            "modulus 1 of the roots of λ^(d+1) − λ^d + lr·h, at angle π/(2d+1)",
            (rules.sgd(),),
            _drawn(lr=_LR),
            functools.partial(closed_forms.delayed_gradient, delay=delay),
            {
                "2/lr, as without delay": closed_forms.gradient_descent,
                "2/(lr(2d+1))": lambda lr, d=delay: 2 / (lr * (2 * d + 1)),
            },
            delay,
        )
        for delay in (1, 4)
    ),
)
