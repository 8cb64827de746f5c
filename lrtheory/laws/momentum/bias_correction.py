r"""Adam's bias corrections as a schedule of lr and eps, and RAdam's rectifier as a warm-up."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...theory.momentum import (
    Uncorrected,
    smallest_correction,
    sparse_adam_eps,
    uncorrected_schedule,
    unnormalised_steps,
    warmup_period,
)  # fmt: skip
from ..law import Rng, Shown, law, relative
from ..trajectory import replay

STEPS = 60


def _draw(rng: Rng) -> tuple[dict[str, float], np.ndarray]:
    ranges = {"lr": (0.01, 1), "beta1": (0.5, 0.95), "beta2": (0.95, 0.9995), "eps": (-3, -1)}
    numbers = {name: rng.uniform(*ends) for name, ends in ranges.items()}
    numbers["eps"] = 10.0 ** numbers["eps"]
    return numbers, rng.standard_normal((STEPS, 2)) * 10.0 ** rng.uniform(-2, 1, (STEPS, 1))


@law(
    r"""exact momentum.bias-correction-schedule: Bias correction is a schedule
    lr_t = lr \frac{\sqrt{1 - beta2^t}}{1 - beta1^t}, \quad eps_t = eps \sqrt{1 - beta2^t}
    scope: Adam with these corrections equals Adam without any under this schedule, any gradients. Coupled decay is part
    of the gradient; decoupled decay keeps the nominal lr
    source: 1412.6980, end of section 2, which leaves the other eps open; derived here
    """,
    uncorrected_schedule,
    {
        "eps left alone": lambda eps, **h: uncorrected_schedule(eps=eps, **h)._replace(eps=np.full(STEPS, eps)),
        "no root": lambda lr, beta1, beta2, eps, t: Uncorrected(
            lr * (1 - beta2**t) / (1 - beta1**t), eps * np.sqrt(1 - beta2**t)
        ),
    },
    bound=1e-11,
    key=54,
    why=f"{STEPS} steps of at most 7.3·lr; corrections 1−beta2^t ≥ 5e-4 lose 2^-53/5e-4 = 2e-13 relative in the plain "
    "form used here, half of it in the root: 60·7.3·1e-13 = 5e-11 at worst, and 1e-11 since steps mostly stay below lr",
)
def bias_correction_schedule(formula: Any, rng: Rng) -> Shown:
    numbers, grads = _draw(rng)
    beta1, beta2 = numbers["beta1"], numbers["beta2"]
    found = replay(rules.adam(), rules.adam().hyper(**numbers), grads).params[1:]
    lr, eps = formula(**numbers, t=np.arange(1, STEPS + 1))
    m, v, p, expected = np.zeros(2), np.zeros(2), np.zeros(2), []
    for t, g in enumerate(grads):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        p = p - lr[t] * m / (np.sqrt(v) + eps[t])
        expected.append(p)
    yield f"adam, and a loop without bias corrections under the schedule: {STEPS} steps of gradients over three decades"
    yield np.abs(found - expected) / numbers["lr"]


@law(
    r"""exact momentum.bias-correction-minimum: The corrected lr falls before it rises
    \frac{\sqrt{1 - beta2^t}}{1 - beta1^t} \text{ is smallest where } \frac{2(e^{bt} - 1)}{b} = \frac{e^{at} - 1}{a},
    \quad a = -\log beta1, \; b = -\log beta2
    scope: beta1 < beta2: it falls to that minimum (0.152 at t = 12 for 0.9 and 0.999), then rises to 1; for beta1 < √(1
    + beta2) − 1, 0.414 at 0.999, whole steps only see it rise. beta1 ≥ beta2: it falls to 1 and never rises
    source: derived here
    ran: adam with eps 0 at (0.9, 0.999), at drawn betas and at beta1 > beta2: 250 measured steps over m/√v of the
    state, held to the factor of real t, and that factor's minimum by refined grids
    why: in units of what each may be off by: 1e-11 for measured factors and for values, a few hundred roundings of
    steps that are differences of parameters; 1e-5 for the place of a flat minimum, the root of 2^-53 times a few
    hundred
    """,
    smallest_correction,
    {
        "smallest at the start": lambda beta1, beta2: (1.0, math.sqrt(1 - beta2) / (1 - beta1)),
        "the factor of two left out": lambda beta1, beta2: smallest_correction(beta1, math.sqrt(beta2)),
    },
    bound=1.0,
    key=55,
)
def bias_correction_minimum(formula: Any, rng: Rng) -> Shown:
    adam, t = rules.adam(), np.arange(1, 251)
    drawn = (rng.uniform(0.8, 0.9), rng.uniform(0.98, 0.999))
    for beta1, beta2 in ((0.9, 0.999), drawn, (0.9, rng.uniform(0.5, 0.85))):
        hyper = adam.hyper(lr=1.0, beta1=beta1, beta2=beta2, eps=0.0)
        run = replay(adam, hyper, rng.uniform(0.5, 2, (250, 2)))
        measured = (run.steps / (run.states.m / np.sqrt(run.states.v)))[:, 0]

        def factor(t: Any, a: float = -math.log(beta1), b: float = -math.log(beta2)) -> Any:
            return np.sqrt(-np.expm1(-b * t)) / -np.expm1(-a * t)

        place, value = formula(beta1, beta2)
        yield relative(measured, factor(t)) / 1e-11
        if math.isinf(place):  # it only falls, and to 1
            yield np.diff(measured) / 1e-11
            yield relative(factor(1e6), value) / 1e-11
        else:  # between whole steps by ever finer grids, which know nothing of the condition on derivatives
            low, high = 1e-3, 250.0
            for _ in range(12):
                grid = np.linspace(low, high, 201)
                at = int(np.argmin(factor(grid)))
                low, high = grid[max(at - 1, 0)], grid[min(at + 1, 200)]
            yield relative(place, (low + high) / 2) / 1e-5
            yield relative(factor(place), value) / 1e-11
            yield {f"smallest at ({beta1:.3g}, {beta2:.4g})": value}


@law(
    r"""exact momentum.sparse-adam-eps: SparseAdam's eps is larger at first
    \text{SparseAdam}(eps) = \text{Adam}(eps_t), \quad eps_t = \frac{eps}{\sqrt{1 - beta2^t}}
    scope: gradients without zeros, so that every slice is named at every step; others take part in the count alone
    source: torch/optim/_functional.py (2.13), sparse_adam, where eps is added to the uncorrected root; derived here
    why: as many roundings as for the uncorrected schedule: 1−beta2^t ≥ 5e-4 loses 2e-13 relative in the plain form used
    for eps_t, over 60 steps that mostly stay below lr
    """,
    sparse_adam_eps,
    {
        "the same eps": lambda eps, beta2, t: np.full(np.shape(t), eps),
        "multiplied by the root": lambda eps, beta2, t: eps * np.sqrt(1 - beta2**t),
    },
    bound=1e-11,
    key=54,
)
def eps_of_sparse_adam(formula: Any, rng: Rng) -> Shown:
    numbers, grads = _draw(rng)
    sparse = replay(rules.sparse_adam(), rules.sparse_adam().hyper(**numbers), grads).params
    eps = formula(numbers["eps"], numbers["beta2"], np.arange(1, STEPS + 1))
    dense = replay(rules.adam(), rules.adam().hyper(**numbers)._replace(eps=eps), grads).params
    yield f"sparse_adam with every place named, and adam with the eps of each step: {STEPS} steps over three decades"
    yield np.abs(sparse - dense) / numbers["lr"]


@jax.jit
def _rectifiers(beta2: Any, t: Any) -> Any:
    """RAdam's effective lr over Adam's in the same state: the rule's own code without a run."""
    radam, adam = rules.radam(), rules.adam()

    def effective_lr(rule: Any, state: Any) -> Any:
        return rule.effective_lr(rule.hyper(lr=1.0, eps=0.0)._replace(beta2=beta2), state)

    def ratio(t: Any) -> Any:
        x = jnp.ones(())
        return effective_lr(radam, radam.State(t, x, x)) / effective_lr(adam, adam.State(t, x, x, None))

    return jax.vmap(ratio)(t)


@law(
    r"""exact momentum.radam-unnormalised-steps: RAdam's first steps are SGD's
    \#\{t : \rho_t \le 5\} = 5 \text{ for } beta2 > 0.8398, \quad \rho_t = \frac{2}{1 - beta2} - 1 - \frac{2t \cdot
    beta2^t}{1 - beta2^t}
    scope: torch's threshold of 5; more steps for smaller beta2 and all of them for beta2 ≤ 2/3. With the paper's 4:
    four for beta2 > 0.7733. In these steps lr acts as that of SGD, in [param]²/[loss]
    source: torch/optim/radam.py (2.13); 1908.03265, algorithm 2; the limits on beta2 derived here
    ran: radam at seven values of beta2 from 0.6 to 0.999, 200 steps on gradients and on the same doubled: a step counts
    as unnormalised if it doubles
    why: a count: the number of values of beta2 for which it is another, or an unnormalised step comes later
    """,
    unnormalised_steps,
    {"the paper's threshold": lambda beta2: unnormalised_steps(beta2, 4.0), "five whatever beta2 is": lambda beta2: 5},
    key=56,
)
def radam_unnormalised_steps(formula: Any, rng: Rng) -> Shown:
    rule, wrong = rules.radam(), 0
    betas = [0.999, 0.99, 0.6, *rng.uniform(0.68, 0.79, 2), *rng.uniform(0.8, 0.98, 2)]
    g = rng.uniform(0.5, 2, (200, 1))
    for beta2 in betas:
        removed = replay(rule, rule.hyper(lr=0.1, beta2=beta2, eps=0.0), np.hstack([g, 2 * g])).steps
        doubled = removed[:, 1] / removed[:, 0] > 1.5
        found = math.inf if doubled.all() else int(np.argmin(doubled))
        wrong += found != formula(beta2) or bool(doubled[int(np.argmin(doubled)) :].any() and not doubled.all())
        yield {f"steps at beta2={beta2:.4f}": found}
    yield wrong


@law(
    r"""asymptotic momentum.radam-warmup: RAdam warms up as long as a linear warm-up
    \sum_t (1 - r_t) \to \frac{1.0292}{1 - beta2}; \text{ 1 for } \omega_t = \min\left(1, \frac{1 - beta2}{2} t\right);
    \quad r_t \to \sqrt{1 - \frac{x}{e^x - 1}}, \; x = (1 - beta2) t
    scope: beta2 → 1. The lengths agree to 3% in the limit; the shapes do not: the rectifier starts as √(x/2), above the
    linear ramp by up to 0.23, and is 0.17 below it where the ramp ends, at x = 2
    source: Ma & Yarats 2021 (1910.04209), as a rule of thumb by effective warm-up period; limit and integral derived
    here
    why: relative error over 1−beta2, at both, so that it must fall as 1−beta2: the shift of ρ by 4 and the five steps
    are terms of that order. The factor of 5 is empirical: 4.1 at every value tried from 2e-4 to 1e-2. What is left of
    the sum after 48 time scales is below 1e-19
    """,
    warmup_period,
    {
        "exactly that of the linear ramp": lambda beta2: 1 / (1 - beta2),
        "of a ramp over 1/(1−beta2) steps": lambda beta2: warmup_period(beta2) / 2,
    },
    bound=5.0,
    key=57,
)
def radam_warmup(formula: Any, rng: Rng) -> Shown:
    gap, unnormalised, t = rng.uniform(4e-3, 8e-3), 5, np.arange(1, 48_001, dtype=np.int32)
    for scale, name in ((1, "relative error"), (4, "at a quarter of 1-beta2")):
        beta2 = 1 - gap / scale
        total = unnormalised + float(np.sum(1 - np.asarray(_rectifiers(beta2, t))[unnormalised:]))
        error = total / formula(beta2) - 1
        yield scale * abs(error) / gap
        yield {name: error}
    yield (
        f"radam's effective lr over adam's for 48000 steps at 1-beta2 = {gap:.2g} and at a quarter of it, its five "
        "unnormalised steps counted as no step"
    )
