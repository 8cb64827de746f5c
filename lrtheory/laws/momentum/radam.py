r"""RAdam: how many steps are not normalised, and what its rectifier has in common with a linear warm-up."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...theory.momentum import unnormalised_steps, warmup_period
from ..law import Evidence, Law
from ..trajectory import replay


@jax.jit
def _rectifiers(beta2: Any, t: Any) -> Any:
    radam, adam = rules.radam(), rules.adam()

    def effective_lr(rule: Any, state: Any) -> Any:
        return rule.effective_lr(rule.hyper(lr=1.0, eps=0.0)._replace(beta2=beta2), state)

    def ratio(t: Any) -> Any:
        x = jnp.ones(())
        return effective_lr(radam, radam.State(t, x, x)) / effective_lr(adam, adam.State(t, x, x, None))

    return jax.vmap(ratio)(t)


def measured_rectifier(beta2: float, steps: int) -> np.ndarray:
    """RAdam's effective lr over Adam's in the same state at t = 1, 2, …: the rule's own code without a run."""
    with jax.enable_x64(True):
        return np.asarray(_rectifiers(beta2, np.arange(1, steps + 1, dtype=np.int32)))


def _check_count(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 56])
    rule = rules.radam()
    betas = [0.999, 0.99, 0.6, *rng.uniform(0.68, 0.79, 2), *rng.uniform(0.8, 0.98, 2)]
    wrong, figures = 0, {}
    g = rng.uniform(0.5, 2, (200, 1))
    for beta2 in betas:
        removed = replay(rule, rule.hyper(lr=0.1, beta2=beta2, eps=0.0), np.hstack([g, 2 * g])).steps
        doubled = removed[:, 1] / removed[:, 0] > 1.5
        found = math.inf if doubled.all() else int(np.argmin(doubled))
        wrong += found != formula(beta2) or bool(doubled[int(np.argmin(doubled)) :].any() and not doubled.all())
        figures[f"steps at beta2={beta2:.4f}"] = found
    return Evidence(
        ran="radam at seven values of beta2 from 0.6 to 0.999, 200 steps on gradients and on the same doubled: a step counts as "
        "unnormalised if it doubles",
        residual=float(wrong),
        bound=0.0,
        derivation="a count: the number of values of beta2 for which it is another, or an unnormalised step comes later",
        figures=figures,
    )


def _check_warmup(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 57])
    gap, unnormalised = rng.uniform(4e-3, 8e-3), 5
    errors = []
    for scale in (1, 4):
        beta2 = 1 - gap / scale
        total = unnormalised + float(np.sum(1 - measured_rectifier(beta2, 48_000)[unnormalised:]))
        errors.append(total / formula(beta2) - 1)
    return Evidence(
        ran=f"radam's effective lr over adam's for 48000 steps at 1-beta2 = {gap:.2g} and at a quarter of it, its five \
unnormalised steps counted as no step",
        residual=max(abs(errors[0]), 4 * abs(errors[1])) / gap,
        bound=5.0,
        derivation="relative error over 1−beta2, at both, so that it must fall as 1−beta2: the shift of ρ by 4 and the five "
        "steps are terms of that order. The factor of 5 is empirical: 4.1 at every value tried from 2e-4 to 1e-2. What is "
        "left of the sum after 48 time scales is below 1e-19",
        figures={"relative error": errors[0], "at a quarter of 1-beta2": errors[1]},
    )


LAWS = (
    Law(
        id="momentum.radam-unnormalised-steps",
        title="RAdam's first steps are SGD's",
        statement=r"\#\{t : \rho_t \le 5\} = 5 \text{ for } beta2 > 0.8398, \quad \rho_t = \frac{2}{1 - beta2} - 1 - "
        r"\frac{2t \cdot beta2^t}{1 - beta2^t}",
        kind="exact",
        scope="torch's threshold of 5; more steps for smaller beta2 and all of them for beta2 ≤ 2/3. With the paper's 4: four "
        "for beta2 > 0.7733. In these steps lr acts as that of SGD, in [param]²/[loss]",
        source="torch/optim/radam.py (2.13); 1908.03265, algorithm 2; the limits on beta2 derived here",
        formula=unnormalised_steps,
        check=_check_count,
        mutants={
            "the paper's threshold": lambda beta2: unnormalised_steps(beta2, 4.0),
            "five whatever beta2 is": lambda beta2: 5,
        },
    ),
    Law(
        id="momentum.radam-warmup",
        title="RAdam warms up as long as a linear warm-up",
        statement=r"\sum_t (1 - r_t) \to \frac{1.0292}{1 - beta2}; \text{ 1 for } \omega_t = \min\left(1, "
        r"\frac{1 - beta2}{2} t\right); \quad r_t \to \sqrt{1 - \frac{x}{e^x - 1}}, \; x = (1 - beta2) t",
        kind="asymptotic",
        scope="beta2 → 1. The lengths agree to 3% in the limit; the shapes do not: the rectifier starts as √(x/2), above the "
        "linear ramp by up to 0.23, and is 0.17 below it where the ramp ends, at x = 2",
        source="Ma & Yarats 2021 (1910.04209), as a rule of thumb by effective warm-up period; limit and integral derived here",
        formula=warmup_period,
        check=_check_warmup,
        mutants={
            "exactly that of the linear ramp": lambda beta2: 1 / (1 - beta2),
            "of a ramp over 1/(1−beta2) steps": lambda beta2: warmup_period(beta2) / 2,
        },
    ),
)
