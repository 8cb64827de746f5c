r"""Weight decay on a scale-invariant weight as a schedule that grows exponentially."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ... import rules
from ...theory.invariance import Schedule, adamw_schedule, buffer_seed, sgd_schedule
from ..law import Evidence, Law
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


def _check_sgd(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 24])
    sgd, worst = rules.sgd(), 0.0
    for loss, draw in FUNCTIONS:
        lr, data, w = rng.uniform(0.05, 0.15), draw(rng), rng.standard_normal(SHAPE)
        decay = rng.uniform(0.01, 0.04) / lr
        found = descend(sgd, sgd.hyper(lr=lr, weight_decay=decay), loss, w, STEPS, data).params
        schedule = formula(lr, decay, STEPS)
        without = descend(sgd, sgd.hyper()._replace(lr=schedule.lr), loss, w, STEPS, data).params
        worst = max(worst, _apart(found, without, schedule.rho))
    return Evidence(
        ran=f"sgd on the toy and on the layer: {STEPS} steps with weight decay, and without it under the schedule",
        residual=worst,
        bound=1e-10,
        derivation=_CHAOS,
    )


def seeded_schedule(
    lr: float, weight_decay: float, steps: int, momentum: float, w: np.ndarray
) -> tuple[Schedule, np.ndarray]:
    """:func:`sgd_schedule` with momentum, and the :func:`buffer_seed` that it starts from at the weight ``w``."""
    return sgd_schedule(lr, weight_decay, steps, momentum), buffer_seed(w, lr, weight_decay, momentum)


def _check_momentum(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 25])
    sgd, worst = rules.sgd(), 0.0
    for loss, draw in FUNCTIONS:
        lr, momentum, data, w = rng.uniform(0.02, 0.06), rng.uniform(0.5, 0.8), draw(rng), rng.standard_normal(SHAPE)
        decay = rng.uniform(0.1, 0.4) * (1 - momentum**0.5) ** 2 / lr
        found = descend(sgd, sgd.hyper(lr=lr, momentum=momentum, weight_decay=decay), loss, w, STEPS, data).params
        schedule, seed_buffer = formula(lr, decay, STEPS, momentum, w)
        with jax.enable_x64(True):
            begun = sgd.init(jax.numpy.asarray(w))._replace(t=jax.numpy.int32(1), buffer=jax.numpy.asarray(seed_buffer))
        hyper = sgd.hyper(momentum=momentum)._replace(lr=schedule.lr)
        without = descend(sgd, hyper, loss, w, STEPS, data, begun).params
        worst = max(worst, _apart(found, without, schedule.rho))
    return Evidence(
        ran=f"sgd with momentum on the toy and on the layer, lr·weight_decay 0.1 to 0.4 of its limit: {STEPS} steps with weight "
        "decay, and without it under the schedule from a seeded buffer",
        residual=worst,
        bound=1e-10,
        derivation=_CHAOS,
    )


def _check_adamw(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 26])
    adamw, worst = rules.adamw(), 0.0
    for loss, draw in FUNCTIONS:
        lr, decay, data, w = rng.uniform(0.01, 0.03), rng.uniform(0.5, 2), draw(rng), rng.standard_normal(SHAPE)
        beta1, beta2 = rng.uniform(0.5, 0.9), rng.uniform(0.9, 0.99)
        hyper = adamw.hyper(lr=lr, beta1=beta1, beta2=beta2, eps=0.0, weight_decay=decay)
        found = descend(adamw, hyper, loss, w, STEPS, data).params
        schedule = formula(lr, decay, beta1, beta2, STEPS)
        m, v, p, without = np.zeros(SHAPE), np.zeros(SHAPE), w, [w]
        with jax.enable_x64(True):
            for t in range(STEPS):
                g = np.asarray(slopes[loss](p, data))
                m, v = schedule.beta1 * m + (1 - beta1) * g, schedule.beta2 * v + (1 - beta2) * g * g
                p = p - schedule.lr[t] * (m / (1 - beta1 ** (t + 1))) / np.sqrt(v / (1 - beta2 ** (t + 1)))
                without.append(p)
        worst = max(worst, _apart(found, np.array(without), schedule.rho))
    return Evidence(
        ran=f"adamw at eps 0 on the toy and on the layer: {STEPS} steps with weight decay, and a loop without it under the schedule",
        residual=worst,
        bound=1e-10,
        derivation=_CHAOS + "; 1/√v makes coordinates whose gradient passes 0 the most sensitive",
    )


def _sgd_power(power: float) -> Any:
    return lambda lr, wd, steps, momentum=0.0: Schedule(
        lr * sgd_schedule(lr, wd, 0, momentum).rho ** (-power * np.arange(steps) - 1),
        sgd_schedule(lr, wd, 0, momentum).rho,
    )


LAWS = (
    Law(
        id="invariance.exponential-sgd",
        title="Weight decay is an lr that grows exponentially",
        statement=r"weight\_decay \;\equiv\; lr_t = lr \cdot \rho^{-2t-1}, \quad \rho = 1 - lr \cdot weight\_decay, \quad w_t = "
        r"\rho^t v_t",
        kind="exact",
        scope="sgd without momentum on a scale-invariant weight, lr·weight_decay < 1, t from 0; v is the weight without decay",
        source="Li & Arora 2020 (1910.07454), without momentum; derived here",
        formula=sgd_schedule,
        check=_check_sgd,
        mutants={
            "one power of rho a step": _sgd_power(1),
            "shifted by a step": lambda lr, wd, steps: Schedule(
                sgd_schedule(lr, wd, steps).lr * (1 - lr * wd), 1 - lr * wd
            ),
        },
    ),
    Law(
        id="invariance.exponential-momentum",
        title="The same with momentum",
        statement=r"\rho^2 - (1 + momentum - lr \cdot weight\_decay) \rho + momentum = 0, \quad lr_t = lr \cdot \rho^{-2t-1}, \quad "
        r"buffer_0 = -\frac{1 - \rho}{lr \cdot \rho} w_0",
        kind="exact",
        scope="sgd with momentum, no dampening, not nesterov, lr outside the buffer as in torch; ρ the larger root, which is real "
        "for lr·weight_decay ≤ (1−√momentum)². The seed counts as an earlier gradient",
        source="Li & Arora 2020 (1910.07454); the seed for torch's first step derived here",
        formula=seeded_schedule,
        check=_check_momentum,
        mutants={
            "buffer not seeded": lambda lr, wd, steps, mu, w: (sgd_schedule(lr, wd, steps, mu), 0 * w),
            "rho without momentum": lambda lr, wd, steps, mu, w: (
                sgd_schedule(lr, wd, steps),
                seeded_schedule(lr, wd, steps, mu, w)[1],
            ),
            "the smaller root": lambda lr, wd, steps, mu, w: (
                Schedule(lr * (mu / sgd_schedule(lr, wd, 0, mu).rho) ** (-2.0 * np.arange(steps) - 1), 1.0),
                seeded_schedule(lr, wd, steps, mu, w)[1],
            ),
        },
    ),
    Law(
        id="invariance.exponential-adamw",
        title="The same for AdamW",
        statement=r"lr_t = lr \cdot \rho^{-t-1}, \quad m_t = \rho\, beta1 \cdot m_{t-1} + (1 - beta1) g, \quad v_t = \rho^2 beta2 \cdot "
        r"v_{t-1} + (1 - beta2) g^2, \quad \rho = 1 - lr \cdot weight\_decay",
        kind="exact",
        scope="adamw at eps 0 on a scale-invariant weight; bias corrections stay those of beta1 and beta2, so that the equal run is no "
        "Adam with other betas but one whose averages have weights that sum to less than 1",
        source="derived here",
        formula=adamw_schedule,
        check=_check_adamw,
        mutants={
            "moments left alone": lambda lr, wd, b1, b2, steps: adamw_schedule(lr, wd, b1, b2, steps)._replace(
                beta1=b1, beta2=b2
            ),
            "the power of SGD": lambda lr, wd, b1, b2, steps: adamw_schedule(lr, wd, b1, b2, steps)._replace(
                lr=sgd_schedule(lr, wd, steps).lr
            ),
        },
    ),
)
