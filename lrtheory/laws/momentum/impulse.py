r"""How one gradient moves the parameters, step after step, under the momentum of SGD."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.momentum import gain, impulse_response
from ..law import Evidence, Law
from ..trajectory import replay

LATE = 5


def _variants(seed: int) -> list[tuple[Rule, Any]]:
    rng = np.random.default_rng([seed, 50])
    heavy, nesterov = rules.sgd(), rules.sgd(nesterov=True)
    draw = lambda: dict(lr=rng.uniform(0.01, 1), momentum=rng.uniform(0.3, 0.95))  # noqa: E731
    return [
        (heavy, heavy.hyper(**draw(), dampening=rng.uniform(0.1, 0.9))),
        (heavy, heavy.hyper(lr=rng.uniform(0.01, 1))),
        (nesterov, nesterov.hyper(**draw())),
    ]


def _check_impulse(formula: Any, seed: int) -> Evidence:
    steps = 30
    grads = np.zeros((steps, 2))
    grads[0, 0] = grads[LATE, 1] = 1
    worst = 0.0
    for rule, hyper in _variants(seed):
        removed = replay(rule, hyper, grads).steps / hyper.lr
        for coordinate, start, first in ((0, 0, True), (1, LATE, False)):
            expected = formula(rule, hyper, np.arange(steps - start), first=first) / hyper.lr
            worst = max(worst, float(np.abs(removed[start:, coordinate] - expected).max()))
    return Evidence(
        ran=f"sgd with momentum and dampening, without momentum, and with nesterov: a unit gradient at step 1 and at step \
{LATE + 1}, zeros around it, {steps} steps",
        residual=worst,
        bound=128 * np.finfo(float).eps,
        derivation="in units of lr; 30 products of at most 1 and differences of parameters of at most 20, each rounded to "
        "half an ulp: 60 + 2·20·2 half ulps of 1, below 128 ulps",
    )


def _check_gain(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 51])
    momentum = rng.uniform(0.3, 0.8)
    cases: list[tuple[Rule, dict[str, float], dict[str, float]]] = [
        (rules.sgd(), {"momentum": momentum, "dampening": rng.uniform(0.1, 0.9)}, {}),
        (rules.sgd(nesterov=True), {"momentum": momentum}, {}),
        (rules.rmsprop(), {"momentum": momentum, "alpha": rng.uniform(0.3, 0.8)}, {}),
        (rules.adam(), {"beta1": momentum, "beta2": rng.uniform(0.3, 0.8)}, {}),
        (rules.schedule_free_sgd(), {"beta1": momentum}, {}),
    ]
    worst = 0.0
    for rule, numbers, extra in cases:
        hyper = rule.hyper(lr=0.1, **numbers, **extra)
        g = np.array([0.7, -3.0])
        per_lr = replay(rule, hyper, np.tile(g, (250, 1))).steps[-1] / g / 0.1
        plain = np.ones(2) if rule.facts.divides_by == "nothing" else 1 / (np.abs(g) + hyper.eps)
        worst = max(worst, float(np.abs(per_lr / plain / formula(rule, hyper) - 1).max()))
    return Evidence(
        ran="sgd (heavy ball with dampening, nesterov), rmsprop with momentum, adam and schedule_free_sgd under a constant "
        "gradient: step 250 over what it would be without momentum",
        residual=worst,
        bound=1e-11,
        derivation="what is left of the start is 0.8^250 < 1e-24; the step is a difference of parameters up to 250 times "
        "its gain of 5 in size, which costs 250·5·2^-52 = 3e-13, and averages as much again",
    )


def _from_first(rule: Rule, hyper: Any, k: Any, *, first: bool = False) -> Any:
    return impulse_response(rule, hyper, k, first=False)


def _one_later(rule: Rule, hyper: Any, k: Any, *, first: bool = False) -> Any:
    return impulse_response(rule, hyper, np.asarray(k) + 1, first=first)


LAWS = (
    Law(
        id="momentum.impulse-response",
        title="A gradient acts for 1/(1−momentum) steps",
        statement=r"\Delta_k = lr\,(1 - dampening)\, momentum^k \quad (\text{first gradient: } lr \cdot momentum^k; \; "
        r"\text{nesterov: } lr\,(1 + momentum), \text{ then } lr \cdot momentum^{k+1})",
        kind="exact",
        scope="sgd with any momentum, dampening and nesterov at constant lr, no weight decay; Δ_k is what a unit gradient "
        "removes from the parameter k steps after it came. At momentum 0 dampening plays no part",
        source="torch/optim/sgd.py (2.13), unrolled; derived here",
        formula=impulse_response,
        check=_check_impulse,
        mutants={"the first gradient is damped too": _from_first, "one power of momentum too many": _one_later},
    ),
    Law(
        id="momentum.gain",
        title="Momentum multiplies the lr",
        statement=r"gain = \frac{1 - dampening}{1 - momentum} \quad (\text{nesterov: } \frac{1}{1 - momentum}; \; "
        r"\text{averaged gradients: } 1; \; \text{schedule-free: } 1 - \frac{beta1}{2})",
        kind="exact",
        scope="in the limit of many steps of a constant gradient: sgd, rmsprop and lars (whose buffers are sums); 1 for "
        "adam and all rules that average. The schedule-free gain is reached at step 2 and needs a constant lr",
        source="sum of the impulse response; torch/optim/sgd.py and rmsprop.py (2.13); schedule-free: derived here from "
        "2405.15682, algorithm 1",
        formula=gain,
        check=_check_gain,
        mutants={
            "no gain": lambda rule, hyper: 1.0,
            "dampening left out": lambda rule, hyper: gain(
                rule, hyper._replace(dampening=0.0) if "dampening" in hyper._fields else hyper
            ),
            "schedule-free takes its parameters for z": lambda rule, hyper: (
                1.0 if "z" in rule.State._fields else gain(rule, hyper)
            ),
        },
    ),
)
