"""What replaces a batch that is κ times as large, in the limit of a small lr: lr, momentum, weight averages."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...compiling import quickly_compiled
from ...quadratic import linear_step, stationary
from ...wrappers import average_weights
from ..law import Rng, Shown, distance, law
from ..trajectory import descend, quadratic, replay

SGD = rules.sgd()
AVERAGED = average_weights(SGD)
SMALL = np.array([1e-3, 2e-3, 5e-3, 1e-2, 2e-2])  # lr·h


_stationary = quickly_compiled()(
    lambda lr, h, c: jax.vmap(lambda lr, h: stationary(linear_step(SGD, SGD.hyper(lr=lr)), h, c)[0, 0])(lr, h)
)


def _order(gap: np.ndarray) -> dict[str, float]:
    return {"measured order": float(np.polyfit(np.log(SMALL), np.log(gap), 1)[0])}


@law(
    r"""asymptotic batch.linear-rule: linear scaling rule
    (1-lr\,h)^\kappa - (1-\kappa\,lr\,h) = \tfrac{\kappa(\kappa-1)}{2}(lr\,h)^2 + O((lr\,h)^3)
    scope: SGD without momentum on a quadratic without noise: κ steps at B against one of κ·lr at κB; κ·lr·h < 1
    source: Goyal et al. 2017, 1706.02677, section 2.1; the gap by the binomial theorem, checked on runs
    why: distance from the law over the next binomial term κ(κ−1)(κ−2)/6·(lr h)³: the terms alternate and shrink while
    κ·lr·h < 1, so that the rest is at most its first
    """,
    lambda x, kappa: kappa * (kappa - 1) / 2 * x**2,
    {"κ²/2": lambda x, kappa: kappa**2 / 2 * x**2, "first order": lambda x, kappa: (kappa - 1) / 2 * x},
    bound=1.0,
)
def linear_rule(formula: Any, rng: Rng) -> Shown:
    kappa, lr = int(rng.integers(4, 9)), float(np.exp(rng.uniform(-5, 0)))
    run = lambda a, steps: descend(SGD, SGD.hyper(lr=a * lr), quadratic, np.ones(len(SMALL)), steps, SMALL / lr)  # noqa: E731
    gap = run(1, kappa).params[-1] - run(kappa, 1).params[-1]
    yield f"{kappa} steps of SGD against one of {kappa} times the lr, on ½hp² with lr·h from 1e-3 to 2e-2"
    yield np.abs(gap - formula(SMALL, kappa)) / (kappa * (kappa - 1) * (kappa - 2) / 6 * SMALL**3)
    yield {"kappa": kappa, **_order(gap)}


@law(
    r"""exact batch.momentum-correction: momentum correction
    u_t = momentum\,\tfrac{lr_t}{lr_{t-1}}\,u_{t-1} + lr_t\,g_t,\quad u_t = lr_t\,buffer_t
    scope: SGD with momentum under a moving lr: a buffer that holds lr·g against one that holds g, as torch's does
    source: Goyal et al. 2017, 1706.02677, section 2.1, remark 2; checked on runs
    ran: 20 steps of SGD with momentum under an lr that moves at every step, lr outside the buffer (the rule, as torch)
    and inside it with corrected momentum (by hand)
    why: largest difference over the travel; 20 steps of six roundings of 1.1e-16, momentum below 0.95
    """,
    lambda momentum, lr, last_lr: momentum * lr / last_lr,
    {
        "no correction": lambda momentum, lr, last_lr: momentum,
        "upside down": lambda momentum, lr, last_lr: momentum * last_lr / lr,
    },
    bound=1e-13,
)
def momentum_correction(formula: Any, rng: Rng) -> Shown:
    lrs, gradients, momentum = np.exp(rng.uniform(-3, 0, 20)), rng.standard_normal(20), rng.uniform(0.5, 0.95)
    outside = replay(SGD, SGD.hyper(momentum=momentum)._replace(lr=lrs), gradients).params[1:]
    p, buffer, inside = 0.0, 0.0, []
    for t, (lr, g) in enumerate(zip(lrs, gradients, strict=True)):
        buffer = formula(momentum, lr, lrs[max(t - 1, 0)]) * buffer + lr * g
        p -= buffer
        inside.append(p)
    yield distance(inside, outside)


@law(
    r"""asymptotic batch.decay-or-grow: decay lr or grow the batch
    \frac{V(lr, \kappa B)}{V(lr/\kappa, B)} = 1 + \tfrac{lr\,h}{2}\left(1-\tfrac1\kappa\right) + O((lr\,h)^2)
    scope: SGD without momentum, stationary variance V on a quadratic: equal to leading order, apart in the next. The
    exact excess is lr·h(1−1/κ)/(2−lr·h)
    source: Smith et al. 2018, 1711.00489, for the exchange; the difference derived here
    why: distance from the first order over (lr h)²: the exact excess is x(1−1/κ)/(2−x), whose second-order coefficient
    (1−1/κ)/(2(2−x)) is below 1/2
    """,
    lambda x, kappa: x * (1 - 1 / kappa) / 2,
    {"no difference": lambda x, kappa: 0 * x, "without the half": lambda x, kappa: x * (1 - 1 / kappa)},
    bound=0.5,
)
def decay_or_grow(formula: Any, rng: Rng) -> Shown:
    kappa, h = float(rng.uniform(2, 8)), np.exp(rng.uniform(-2, 2, len(SMALL)))
    lr = SMALL / h
    decayed, grown = (np.asarray(_stationary(lr / a, h, 1 / b)) for a, b in ((kappa, 1.0), (1.0, kappa)))
    excess = grown / decayed - 1
    yield f"stationary variances of SGD's own linear map at (lr/κ, B) and (lr, κB), κ = {kappa:.2f}, lr·h from 1e-3 to 2e-2"
    yield np.abs(excess - formula(SMALL, kappa)) / SMALL**2
    yield _order(excess)


@law(
    r"""asymptotic batch.weight-ema: weight average
    ema\_decay \to ema\_decay^{\,\kappa}
    scope: an exponential average of the weights of SGD, lr → 0 at fixed κ and decay: the average after κ steps of lr
    and after one of κ·lr differ by O(lr·h)
    source: Busbridge et al. 2023, 2307.13813; checked on runs
    why: difference over 2(κ−1)·lr·h: in each of two rounds the parameters of the inner steps are at most (κ−1)·lr·h from
    the last, and the average forgets no more slowly than it adds; a wrong ρ leaves a difference that does not vanish
    """,
    lambda decay, kappa: decay**kappa,
    {
        "unchanged": lambda decay, kappa: decay,
        "1 − κ(1−ρ)": lambda decay, kappa: np.maximum(1 - kappa * (1 - decay), 0),
    },
    bound=1.0,
)
def weight_ema(formula: Any, rng: Rng) -> Shown:
    kappa, decay, rounds = int(rng.integers(3, 9)), float(rng.uniform(0.85, 0.97)), 2
    first = jnp.ones(len(SMALL))
    state = AVERAGED.init(first)._replace(average=first + 1, count=jnp.int32(1))
    many, few = (
        descend(AVERAGED, AVERAGED.hyper(lr=lr, ema_decay=rho), quadratic, first, steps, SMALL, state).states.average[
            -1
        ]
        for lr, rho, steps in ((1.0, decay, rounds * kappa), (float(kappa), formula(decay, kappa), rounds))
    )
    gap = np.abs(many - few)
    yield (
        f"the weight average of SGD after {rounds} rounds: {kappa} steps of (lr, ρ) or one of (κ lr, ρ'), lr·h from 1e-3 "
        f"to 2e-2, ρ = {decay:.3f}, average and parameters 1 apart at first"
    )
    yield gap / SMALL / (rounds * (kappa - 1))
    yield {"kappa": kappa, **_order(gap)}
