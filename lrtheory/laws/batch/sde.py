r"""Adam and RMSprop under a batch κ times as large: the numbers that leave their stochastic differential equation alone.

Where noise dominates, √v is σ/√B and a step moves p by lr times a signal of :math:`\sqrt B\,h p/\sigma` and noise of
variance 1. One step in place of κ keeps both if lr² and all rates 1−β grow by κ; √v and with it eps shrink by √κ.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...rules import Rule
from ...theory.batch import sde_rule
from ..law import Rng, Shown, law

RULES = {
    (adamw := rules.adam(decoupled=True)): adamw.hyper(lr=0.015, beta1=0.95, beta2=0.995, eps=1.0, weight_decay=0.03),
    (rmsprop := rules.rmsprop(momentum_buffer=False)): rmsprop.hyper(lr=0.015, alpha=0.995, eps=1.0),
}
KAPPA = 4
STEPS = 2000
REPLICAS = 2048
CURVATURE, NOISE, QUIETER = 0.03, 3.0, 10.0


@functools.partial(jax.jit, static_argnames="rule")
def _replicas(rule: Rule, hyper: Any, batch: Array, steps: Array, key: Array) -> Array:
    """Last parameters of independent runs, one a coordinate; after half of them the noise is a tenth."""
    first = jnp.ones(REPLICAS)

    def one(t: Array, carry: Any) -> Any:
        p, state = carry
        deviation = jnp.where(2 * t < steps, NOISE, NOISE / QUIETER) / jnp.sqrt(batch)
        gradient = CURVATURE * p + deviation * jax.random.normal(jax.random.fold_in(key, t), p.shape)
        return rule.step(hyper, p, state, gradient)

    return lax.fori_loop(0, steps, one, (first, rule.init(first)))[0]


def _altered(power: float, *kept: str) -> Callable[[Rule, Any, float], Any]:
    """The law with lr·κ^power and some numbers left as they were."""

    def formula(rule: Rule, hyper: Any, kappa: float) -> Any:
        changed = sde_rule(rule, hyper, kappa)._replace(lr=hyper.lr * kappa**power)
        return changed._replace(**{name: getattr(hyper, name) for name in kept if name in hyper._fields})

    return formula


@law(
    r"""statistical batch.sde: square-root rule of Adam and RMSprop
    lr\sqrt\kappa,\quad \beta \to 1-\kappa(1-\beta),\quad eps/\sqrt\kappa,\quad weight\_decay\sqrt\kappa \;(decoupled),
    \qquad \kappa < 1/(1-\beta)
    scope: Adam, AdamW and RMSprop without momentum and not centred; noise dominates the gradient and 1−β and lr are
    small: in law, for B → κB and 1/κ of the steps. Coupled decay stays as it is
    source: Malladi et al. 2022, 2205.10287; the decay of AdamW derived here from lr·wd → κ·lr·wd; checked by sampling
    why: largest of four differences in standard errors, against the Gaussian quantile for all four; the law is a limit
    for 1−β → 0, and what is left at these numbers moves the spreads by 0.7 standard errors, as 200 seeds show
    """,
    sde_rule,
    {
        "linear lr": _altered(1.0),
        "lr unchanged": _altered(0.0),
        "betas unchanged": _altered(0.5, "beta1", "beta2", "alpha"),
        "eps unchanged": _altered(0.5, "eps"),
        "decay unchanged": _altered(0.5, "weight_decay"),
    },
    bound=NormalDist().inv_cdf(1 - 1e-4 / 8),  # both tails of all four differences, were they standard normal
    x64=False,
    sample_size=REPLICAS,
    false_alarm_rate=5e-4,  # with what is left of the limit, at most 0.7 standard errors
)
def sde(formula: Any, rng: Rng) -> Shown:
    keys = iter(jax.random.split(jax.random.key(int(rng.integers(2**31))), 2 * len(RULES)))
    found = {}
    for rule, hyper in RULES.items():
        moments = []
        for h, batch in ((hyper, 1), (formula(rule, hyper, KAPPA), KAPPA)):
            p = np.asarray(_replicas(rule, h, float(batch), STEPS // batch, next(keys)), float)
            kurtosis = np.mean(((p - p.mean()) / p.std()) ** 4)
            moments.append(((p.mean(), p.var()), (np.log(p.std()), (kurtosis - 1) / 4)))
        for name, (a, var_a), (b, var_b) in zip(("mean", "spread"), *moments, strict=True):
            found[f"{name}, {rule!r}"] = float((b - a) / math.sqrt((var_a + var_b) / REPLICAS))
    yield (
        f"{REPLICAS} runs of AdamW and of RMSprop on ½hp² with noise that falls to a tenth midway: {STEPS} steps with "
        f"batch 1, {STEPS // KAPPA} with batch {KAPPA} and the law's numbers; mean and standard deviation of the last p"
    )
    yield np.abs(list(found.values()))
    yield found
