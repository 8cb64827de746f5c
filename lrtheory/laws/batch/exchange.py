"""What replaces a batch that is κ times as large, in the limit of a small lr: lr, momentum, weight averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...quadratic import linear_step, stationary
from ...wrappers import average_weights
from ..law import Evidence, Law

SGD = rules.sgd()
AVERAGED = average_weights(SGD)
SMALL = np.array([1e-3, 2e-3, 5e-3, 1e-2, 2e-2])  # lr·h


def linear_rule_gap(x: Any, kappa: int) -> Any:
    """How much further κ steps of lr leave p, over p, than one of κ·lr, for x = lr·h: κ(κ−1)/2·x²."""
    return kappa * (kappa - 1) / 2 * x**2


def corrected_momentum(momentum: Any, lr: Any, last_lr: Any) -> Any:
    """Momentum for a buffer that holds lr·g, when lr changes: μ·lr_t/lr_{t−1}."""
    return momentum * lr / last_lr


def grown_over_decayed(x: Any, kappa: Any) -> Any:
    """Relative excess of the stationary variance at (lr, κB) over that at (lr/κ, B), for x = lr·h: x(1−1/κ)/2."""
    return x * (1 - 1 / kappa) / 2


def ema_decay(decay: Any, kappa: Any) -> Any:
    """Decay of a weight average whose steps each stand for κ: ρ^κ."""
    return decay**kappa


@jax.jit
def _descend(lr: Array, curvature: Array, steps: Array) -> Array:
    """Where SGD leaves p from 1 on ½hp², for each curvature."""
    hyper, p = SGD.hyper(lr=lr), jnp.ones_like(curvature)
    step = lambda _, carry: SGD.step(hyper, carry[0], carry[1], curvature * carry[0])  # noqa: E731
    return lax.fori_loop(0, steps, step, (p, SGD.init(p)))[0]


def _check_linear_rule(formula: Callable[[Any, int], Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    kappa = int(rng.integers(4, 9))
    lr = float(np.exp(rng.uniform(-5, 0)))
    with jax.enable_x64(True):
        many, one = (np.asarray(_descend(a * lr, jnp.asarray(SMALL / lr), n)) for a, n in ((1, kappa), (kappa, 1)))
    gap = many - one
    next_term = kappa * (kappa - 1) * (kappa - 2) / 6 * SMALL**3
    slope = np.polyfit(np.log(SMALL), np.log(gap), 1)[0]
    return Evidence(
        ran=f"{kappa} steps of SGD against one of {kappa} times the lr, on ½hp² with lr·h from 1e-3 to 2e-2",
        residual=float(np.max(np.abs(gap - formula(SMALL, kappa)) / next_term)),
        bound=1.0,
        derivation="distance from the law over the next binomial term κ(κ−1)(κ−2)/6·(lr h)³: the terms alternate and "
        "shrink while κ·lr·h < 1, so that the rest is at most its first",
        figures={"kappa": kappa, "measured order": float(slope)},
    )


@jax.jit
def _under_moving_lr(lrs: Array, momentum: Array, gradients: Array) -> Array:
    def one(carry: Any, now: Any) -> tuple[Any, Array]:
        p, state = SGD.step(SGD.hyper(lr=now[0], momentum=momentum), carry[0], carry[1], now[1])
        return (p, state), p

    return lax.scan(one, (jnp.zeros(()), SGD.init(jnp.zeros(()))), (lrs, gradients))[1]


def _check_momentum(formula: Callable[[Any, Any, Any], Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    lrs, gradients, momentum = np.exp(rng.uniform(-3, 0, 20)), rng.standard_normal(20), rng.uniform(0.5, 0.95)
    with jax.enable_x64(True):
        outside = np.asarray(_under_moving_lr(jnp.asarray(lrs), jnp.asarray(momentum), jnp.asarray(gradients)))
    p, buffer, inside = 0.0, 0.0, []
    for t, (lr, g) in enumerate(zip(lrs, gradients, strict=True)):
        buffer = formula(momentum, lr, lrs[max(t - 1, 0)]) * buffer + lr * g
        p -= buffer
        inside.append(p)
    return Evidence(
        ran="20 steps of SGD with momentum under an lr that moves at every step, lr outside the buffer (the rule, as torch) "
        "and inside it with corrected momentum (by hand)",
        residual=float(np.max(np.abs(inside - outside)) / np.max(np.abs(outside))),
        bound=1e-13,
        derivation="largest difference over the travel; 20 steps of six roundings of 1.1e-16, momentum below 0.95",
    )


_stationary = jax.jit(
    lambda lr, h, c: jax.vmap(lambda lr, h: stationary(linear_step(SGD, SGD.hyper(lr=lr)), h, c)[0, 0])(lr, h)
)


def _check_decay_or_grow(formula: Callable[[Any, Any], Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    kappa, h = float(rng.uniform(2, 8)), np.exp(rng.uniform(-2, 2, len(SMALL)))
    with jax.enable_x64(True):
        lr = SMALL / h
        decayed, grown = (np.asarray(_stationary(lr / a, h, 1 / b)) for a, b in ((kappa, 1.0), (1.0, kappa)))
    excess = grown / decayed - 1
    return Evidence(
        ran=f"stationary variances of SGD's own linear map at (lr/κ, B) and (lr, κB), κ = {kappa:.2f}, lr·h from 1e-3 to 2e-2",
        residual=float(np.max(np.abs(excess - formula(SMALL, kappa)) / SMALL**2)),
        bound=0.5,
        derivation="distance from the first order over (lr h)²: the exact excess is x(1−1/κ)/(2−x), whose second-order "
        "coefficient (1−1/κ)/(2(2−x)) is below 1/2",
        figures={"measured order": float(np.polyfit(np.log(SMALL), np.log(excess), 1)[0])},
    )


@jax.jit
def _averages(lr: Array, decay: Array, curvature: Array, steps: Array) -> Array:
    """The weight average after some steps, from an average that begins 1 above the parameters."""
    hyper, p = AVERAGED.hyper(lr=lr, ema_decay=decay), jnp.ones_like(curvature)
    state = AVERAGED.init(p)._replace(average=p + 1, count=jnp.int32(1))
    step = lambda _, carry: AVERAGED.step(hyper, carry[0], carry[1], curvature * carry[0])  # noqa: E731
    return lax.fori_loop(0, steps, step, (p, state))[1].average


def _check_ema(formula: Callable[[Any, Any], Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    kappa, decay, rounds = int(rng.integers(3, 9)), float(rng.uniform(0.85, 0.97)), 2
    with jax.enable_x64(True):
        curvature = jnp.asarray(SMALL)
        many = np.asarray(_averages(1.0, decay, curvature, rounds * kappa))
        few = np.asarray(_averages(float(kappa), formula(decay, kappa), curvature, rounds))
    gap = np.abs(many - few)
    return Evidence(
        ran=f"the weight average of SGD after {rounds} rounds: {kappa} steps of (lr, ρ) or one of (κ lr, ρ'), lr·h from 1e-3 "
        f"to 2e-2, ρ = {decay:.3f}, average and parameters 1 apart at first",
        residual=float(np.max(gap / SMALL)),
        bound=float(rounds * (kappa - 1)),
        derivation="difference over lr·h: in each round the parameters of the inner steps are at most (κ−1)·lr·h from the "
        "last, and the average forgets no more slowly than it adds; a wrong ρ leaves a difference that does not vanish",
        figures={"kappa": kappa, "measured order": float(np.polyfit(np.log(SMALL), np.log(gap), 1)[0])},
    )


LAWS = (
    Law(
        id="batch.linear-rule",
        title="linear scaling rule",
        statement=r"(1-lr\,h)^\kappa - (1-\kappa\,lr\,h) = \tfrac{\kappa(\kappa-1)}{2}(lr\,h)^2 + O((lr\,h)^3)",
        kind="asymptotic",
        scope="SGD without momentum on a quadratic without noise: κ steps at B against one of κ·lr at κB; κ·lr·h < 1",
        source="Goyal et al. 2017, 1706.02677, section 2.1; the gap by the binomial theorem, checked on runs",
        formula=linear_rule_gap,
        check=_check_linear_rule,
        mutants={
            "κ²/2": lambda x, kappa: kappa**2 / 2 * x**2,
            "first order": lambda x, kappa: (kappa - 1) / 2 * x,
        },
    ),
    Law(
        id="batch.momentum-correction",
        title="momentum correction",
        statement=r"u_t = momentum\,\tfrac{lr_t}{lr_{t-1}}\,u_{t-1} + lr_t\,g_t,\quad u_t = lr_t\,buffer_t",
        kind="exact",
        scope="SGD with momentum under a moving lr: a buffer that holds lr·g against one that holds g, as torch's does",
        source="Goyal et al. 2017, 1706.02677, section 2.1, remark 2; checked on runs",
        formula=corrected_momentum,
        check=_check_momentum,
        mutants={
            "no correction": lambda momentum, lr, last_lr: momentum,
            "upside down": lambda momentum, lr, last_lr: momentum * last_lr / lr,
        },
    ),
    Law(
        id="batch.decay-or-grow",
        title="decay lr or grow the batch",
        statement=r"\frac{V(lr, \kappa B)}{V(lr/\kappa, B)} = 1 + \tfrac{lr\,h}{2}\left(1-\tfrac1\kappa\right) + O((lr\,h)^2)",
        kind="asymptotic",
        scope="SGD without momentum, stationary variance V on a quadratic: equal to leading order, apart in the next. "
        "The exact excess is lr·h(1−1/κ)/(2−lr·h)",
        source="Smith et al. 2018, 1711.00489, for the exchange; the difference derived here",
        formula=grown_over_decayed,
        check=_check_decay_or_grow,
        mutants={"no difference": lambda x, kappa: 0 * x, "without the half": lambda x, kappa: x * (1 - 1 / kappa)},
    ),
    Law(
        id="batch.weight-ema",
        title="weight average",
        statement=r"ema\_decay \to ema\_decay^{\,\kappa}",
        kind="asymptotic",
        scope="an exponential average of the weights of SGD, lr → 0 at fixed κ and decay: the average after κ steps of lr "
        "and after one of κ·lr differ by O(lr·h)",
        source="Busbridge et al. 2023, 2307.13813; checked on runs",
        formula=ema_decay,
        check=_check_ema,
        mutants={
            "unchanged": lambda decay, kappa: decay,
            "1 − κ(1−ρ)": lambda decay, kappa: np.maximum(1 - kappa * (1 - decay), 0),
        },
    ),
)
