r"""Adam's bias corrections as a schedule of lr and eps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import rules
from ...theory.momentum import Uncorrected, smallest_correction, sparse_adam_eps, uncorrected_schedule
from ..law import Evidence, Law
from ..trajectory import replay

STEPS = 60


def _draw(seed: int) -> tuple[dict[str, float], np.ndarray]:
    rng = np.random.default_rng([seed, 54])
    numbers = {
        "lr": rng.uniform(0.01, 1),
        "beta1": rng.uniform(0.5, 0.95),
        "beta2": rng.uniform(0.95, 0.9995),
        "eps": 10.0 ** rng.uniform(-3, -1),
    }
    return numbers, rng.standard_normal((STEPS, 2)) * 10.0 ** rng.uniform(-2, 1, (STEPS, 1))


def _check_schedule(formula: Any, seed: int) -> Evidence:
    numbers, grads = _draw(seed)
    beta1, beta2 = numbers["beta1"], numbers["beta2"]
    found = replay(rules.adam(), rules.adam().hyper(**numbers), grads).params[1:]
    lr, eps = formula(**numbers, t=np.arange(1, STEPS + 1))
    m, v, p = np.zeros(2), np.zeros(2), np.zeros(2)
    expected = []
    for t, g in enumerate(grads):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        p = p - lr[t] * m / (np.sqrt(v) + eps[t])
        expected.append(p)
    return Evidence(
        ran=f"adam, and a loop without bias corrections under the schedule: {STEPS} steps of gradients over three decades",
        residual=float(np.abs(found - expected).max() / numbers["lr"]),
        bound=1e-11,
        derivation=f"{STEPS} steps of at most 7.3·lr; corrections 1−beta2^t ≥ 5e-4 lose 2^-53/5e-4 = 2e-13 relative in the plain "
        "form used here, half of it in the root: 60·7.3·1e-13 = 5e-11 at worst, and 1e-11 since steps mostly stay below lr",
    )


def _check_smallest(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 55])
    adam, worst, figures = rules.adam(), 0.0, {}
    t = np.arange(1, 251)
    for beta1, beta2 in (
        (0.9, 0.999),
        (rng.uniform(0.8, 0.9), rng.uniform(0.98, 0.999)),
        (0.9, rng.uniform(0.5, 0.85)),
    ):
        hyper = adam.hyper(lr=1.0, beta1=beta1, beta2=beta2, eps=0.0)
        run = replay(adam, hyper, rng.uniform(0.5, 2, (250, 2)))
        measured = (run.steps / (run.states.m / np.sqrt(run.states.v)))[:, 0]

        def factor(t: Any, a: float = -math.log(beta1), b: float = -math.log(beta2)) -> Any:
            return np.sqrt(-np.expm1(-b * t)) / -np.expm1(-a * t)

        place, value = formula(beta1, beta2)
        off = [float(np.abs(measured / factor(t) - 1).max()) / 1e-11]
        if math.isinf(place):  # it only falls, and to 1
            off += [float(np.max(np.diff(measured))) / 1e-11, abs(float(factor(1e6)) / value - 1) / 1e-11]
        else:  # between whole steps by ever finer grids, which know nothing of the condition on derivatives
            low, high = 1e-3, 250.0
            for _ in range(12):
                grid = np.linspace(low, high, 201)
                at = int(np.argmin(factor(grid)))
                low, high = grid[max(at - 1, 0)], grid[min(at + 1, 200)]
            off += [abs(place / ((low + high) / 2) - 1) / 1e-5, abs(float(factor(place)) / value - 1) / 1e-11]
            figures[f"smallest at ({beta1:.3g}, {beta2:.4g})"] = value
        worst = max(worst, *off)
    return Evidence(
        ran="adam with eps 0 at (0.9, 0.999), at drawn betas and at beta1 > beta2: 250 measured steps over m/√v of the state, held to "
        "the factor of real t, and that factor's minimum by refined grids",
        residual=worst,
        bound=1.0,
        derivation="in units of what each may be off by: 1e-11 for measured factors and for values, a few hundred roundings of steps "
        "that are differences of parameters; 1e-5 for the place of a flat minimum, the root of 2^-53 times a few hundred",
        figures=figures,
    )


def _check_sparse(formula: Any, seed: int) -> Evidence:
    numbers, grads = _draw(seed)
    sparse = replay(rules.sparse_adam(), rules.sparse_adam().hyper(**numbers), grads).params
    eps = formula(numbers["eps"], numbers["beta2"], np.arange(1, STEPS + 1))
    dense = replay(rules.adam(), rules.adam().hyper(**numbers)._replace(eps=eps), grads).params
    return Evidence(
        ran=f"sparse_adam with every place named, and adam with the eps of each step: {STEPS} steps over three decades",
        residual=float(np.abs(sparse - dense).max() / numbers["lr"]),
        bound=1e-11,
        derivation="as many roundings as for the uncorrected schedule: 1−beta2^t ≥ 5e-4 loses 2e-13 relative in the plain form "
        "used for eps_t, over 60 steps that mostly stay below lr",
    )


def _eps_left_alone(lr: float, beta1: float, beta2: float, eps: float, t: Any) -> Uncorrected:
    return Uncorrected(uncorrected_schedule(lr, beta1, beta2, eps, t).lr, np.full(np.shape(t), eps))


LAWS = (
    Law(
        id="momentum.bias-correction-schedule",
        title="Bias correction is a schedule",
        statement=r"lr_t = lr \frac{\sqrt{1 - beta2^t}}{1 - beta1^t}, \quad eps_t = eps \sqrt{1 - beta2^t}",
        kind="exact",
        scope="Adam with these corrections equals Adam without any under this schedule, any gradients. Coupled decay is part "
        "of the gradient; decoupled decay keeps the nominal lr",
        source="1412.6980, end of section 2, which leaves the other eps open; derived here",
        formula=uncorrected_schedule,
        check=_check_schedule,
        mutants={
            "eps left alone": _eps_left_alone,
            "no root": lambda lr, beta1, beta2, eps, t: Uncorrected(
                lr * (1 - beta2**t) / (1 - beta1**t), eps * np.sqrt(1 - beta2**t)
            ),
        },
    ),
    Law(
        id="momentum.bias-correction-minimum",
        title="The corrected lr falls before it rises",
        statement=r"\frac{\sqrt{1 - beta2^t}}{1 - beta1^t} \text{ is smallest where } \frac{2(e^{bt} - 1)}{b} = "
        r"\frac{e^{at} - 1}{a}, \quad a = -\log beta1, \; b = -\log beta2",
        kind="exact",
        scope="beta1 < beta2: it falls to that minimum (0.152 at t = 12 for 0.9 and 0.999), then rises to 1; for beta1 < √(1 + "
        "beta2) − 1, 0.414 at 0.999, whole steps only see it rise. beta1 ≥ beta2: it falls to 1 and never rises",
        source="derived here",
        formula=smallest_correction,
        check=_check_smallest,
        mutants={
            "smallest at the start": lambda beta1, beta2: (1.0, math.sqrt(1 - beta2) / (1 - beta1)),
            "the factor of two left out": lambda beta1, beta2: smallest_correction(beta1, math.sqrt(beta2)),
        },
    ),
    Law(
        id="momentum.sparse-adam-eps",
        title="SparseAdam's eps is larger at first",
        statement=r"\text{SparseAdam}(eps) = \text{Adam}(eps_t), \quad eps_t = \frac{eps}{\sqrt{1 - beta2^t}}",
        kind="exact",
        scope="gradients without zeros, so that every slice is named at every step; others take part in the count alone",
        source="torch/optim/_functional.py (2.13), sparse_adam, where eps is added to the uncorrected root; derived here",
        formula=sparse_adam_eps,
        check=_check_sparse,
        mutants={
            "the same eps": lambda eps, beta2, t: np.full(np.shape(t), eps),
            "multiplied by the root": lambda eps, beta2, t: eps * np.sqrt(1 - beta2**t),
        },
    ),
)
