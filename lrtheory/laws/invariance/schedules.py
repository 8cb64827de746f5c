r"""Weight decay on a scale-invariant weight as a schedule that grows exponentially."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ... import rules
from ...theory.invariance import Schedule, adamw_schedule, buffer_seed, sgd_schedule
from ..law import Rng, Shown, law
from ..trajectory import descend
from .length import FUNCTIONS, SHAPE, slopes

STEPS = 40
_CHAOS = (
    "relative to the weight, largest over the run: rounding grows with the curvature of the loss, as in every training run. "
    "Empirical: below 5e-12 over 200 seeds and these 40 steps"
)


def _apart(with_decay: np.ndarray, without: np.ndarray, rho: float) -> float:
    """Largest distance of ρᵗv_t from w_t over ‖w_t‖."""
    t = np.arange(len(with_decay))[:, None, None]
    distance = np.linalg.norm(with_decay - rho**t * without, axis=(1, 2)) / np.linalg.norm(with_decay, axis=(1, 2))
    return float(distance.max())


def seeded_schedule(
    lr: float, weight_decay: float, steps: int, momentum: float, w: np.ndarray
) -> tuple[Schedule, np.ndarray]:
    """:func:`sgd_schedule` with momentum, and the :func:`buffer_seed` that it starts from at the weight ``w``."""
    return sgd_schedule(lr, weight_decay, steps, momentum), buffer_seed(w, lr, weight_decay, momentum)


@law(
    r"""exact invariance.exponential-sgd: Weight decay is an lr that grows exponentially
    weight\_decay \;\equiv\; lr_t = lr \cdot \rho^{-2t-1}, \quad \rho = 1 - lr \cdot weight\_decay, \quad w_t = \rho^t
    v_t
    scope: sgd without momentum on a scale-invariant weight, lr·weight_decay < 1, t from 0; v is the weight without
    decay
    source: Li & Arora 2020 (1910.07454), without momentum; derived here
    """,
    sgd_schedule,
    {
        "one power of rho a step": lambda lr, wd, steps: Schedule(
            lr * (1 - lr * wd) ** (-1.0 * np.arange(steps) - 1), 1 - lr * wd
        ),
        "shifted by a step": lambda lr, wd, steps: Schedule(
            sgd_schedule(lr, wd, steps).lr * (1 - lr * wd), 1 - lr * wd
        ),
    },
    bound=1e-10,
    key=24,
    why=_CHAOS,
)
def exponential_sgd(formula: Any, rng: Rng) -> Shown:
    sgd = rules.sgd()
    for loss, draw in FUNCTIONS:
        lr, data, w = rng.uniform(0.05, 0.15), draw(rng), rng.standard_normal(SHAPE)
        decay = rng.uniform(0.01, 0.04) / lr
        found = descend(sgd, sgd.hyper(lr=lr, weight_decay=decay), loss, w, STEPS, data).params
        schedule = formula(lr, decay, STEPS)
        without = descend(sgd, sgd.hyper()._replace(lr=schedule.lr), loss, w, STEPS, data).params
        yield _apart(found, without, schedule.rho)
    yield f"sgd on the toy and on the layer: {STEPS} steps with weight decay, and without it under the schedule"


@law(
    r"""exact invariance.exponential-momentum: The same with momentum
    \rho^2 - (1 + momentum - lr \cdot weight\_decay) \rho + momentum = 0, \quad lr_t = lr \cdot \rho^{-2t-1}, \quad
    buffer_0 = -\frac{1 - \rho}{lr \cdot \rho} w_0
    scope: sgd with momentum, no dampening, not nesterov, lr outside the buffer as in torch; ρ the larger root, which is
    real for lr·weight_decay ≤ (1−√momentum)². The seed counts as an earlier gradient
    source: Li & Arora 2020 (1910.07454); the seed for torch's first step derived here
    """,
    seeded_schedule,
    {
        "buffer not seeded": lambda lr, wd, steps, mu, w: (sgd_schedule(lr, wd, steps, mu), 0 * w),
        "rho without momentum": lambda lr, wd, steps, mu, w: (sgd_schedule(lr, wd, steps), buffer_seed(w, lr, wd, mu)),
        "the smaller root": lambda lr, wd, steps, mu, w: (
            Schedule(lr * (mu / sgd_schedule(lr, wd, 0, mu).rho) ** (-2.0 * np.arange(steps) - 1), 1.0),
            buffer_seed(w, lr, wd, mu),
        ),
    },
    bound=1e-10,
    key=25,
    why=_CHAOS,
)
def exponential_momentum(formula: Any, rng: Rng) -> Shown:
    sgd = rules.sgd()
    for loss, draw in FUNCTIONS:
        lr, momentum, data, w = rng.uniform(0.02, 0.06), rng.uniform(0.5, 0.8), draw(rng), rng.standard_normal(SHAPE)
        decay = rng.uniform(0.1, 0.4) * (1 - momentum**0.5) ** 2 / lr
        found = descend(sgd, sgd.hyper(lr=lr, momentum=momentum, weight_decay=decay), loss, w, STEPS, data).params
        schedule, seed_buffer = formula(lr, decay, STEPS, momentum, w)
        begun = sgd.init(jax.numpy.asarray(w))._replace(t=jax.numpy.int32(1), buffer=jax.numpy.asarray(seed_buffer))
        hyper = sgd.hyper(momentum=momentum)._replace(lr=schedule.lr)
        without = descend(sgd, hyper, loss, w, STEPS, data, begun).params
        yield _apart(found, without, schedule.rho)
    yield (
        f"sgd with momentum on the toy and on the layer, lr·weight_decay 0.1 to 0.4 of its limit: {STEPS} steps with weight "
        "decay, and without it under the schedule from a seeded buffer"
    )


@law(
    r"""exact invariance.exponential-adamw: The same for AdamW
    lr_t = lr \cdot \rho^{-t-1}, \quad m_t = \rho\, beta1 \cdot m_{t-1} + (1 - beta1) g, \quad v_t = \rho^2 beta2 \cdot
    v_{t-1} + (1 - beta2) g^2, \quad \rho = 1 - lr \cdot weight\_decay
    scope: adamw at eps 0 on a scale-invariant weight; bias corrections stay those of beta1 and beta2, so that the equal
    run is no Adam with other betas but one whose averages have weights that sum to less than 1
    source: derived here
    """,
    adamw_schedule,
    {
        "moments left alone": lambda lr, wd, b1, b2, steps: adamw_schedule(lr, wd, b1, b2, steps)._replace(
            beta1=b1, beta2=b2
        ),
        "the power of SGD": lambda lr, wd, b1, b2, steps: adamw_schedule(lr, wd, b1, b2, steps)._replace(
            lr=sgd_schedule(lr, wd, steps).lr
        ),
    },
    bound=1e-10,
    key=26,
    why=_CHAOS + "; 1/√v makes coordinates whose gradient passes 0 the most sensitive",
)
def exponential_adamw(formula: Any, rng: Rng) -> Shown:
    adamw = rules.adamw()
    for loss, draw in FUNCTIONS:
        lr, decay, data, w = rng.uniform(0.01, 0.03), rng.uniform(0.5, 2), draw(rng), rng.standard_normal(SHAPE)
        beta1, beta2 = rng.uniform(0.5, 0.9), rng.uniform(0.9, 0.99)
        hyper = adamw.hyper(lr=lr, beta1=beta1, beta2=beta2, eps=0.0, weight_decay=decay)
        found = descend(adamw, hyper, loss, w, STEPS, data).params
        schedule = formula(lr, decay, beta1, beta2, STEPS)
        m, v, p, without = np.zeros(SHAPE), np.zeros(SHAPE), w, [w]
        for t in range(STEPS):
            g = np.asarray(slopes[loss](p, data))
            m, v = schedule.beta1 * m + (1 - beta1) * g, schedule.beta2 * v + (1 - beta2) * g * g
            p = p - schedule.lr[t] * (m / (1 - beta1 ** (t + 1))) / np.sqrt(v / (1 - beta2 ** (t + 1)))
            without.append(p)
        yield _apart(found, np.array(without), schedule.rho)
    yield f"adamw at eps 0 on the toy and on the layer: {STEPS} steps with weight decay, and a loop without it under the schedule"
