"""Moments on a noisy quadratic, and the variances they settle at."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...compiling import quickly_compiled
from ...quadratic import (
    NoisyQuadratic,
    equal_variance_lr,
    heavy_ball_variance,
    linear_step,
    linear_steps,
    nesterov_variance,
    propagate,
    stationary,
)  # fmt: skip
from ...rules import Rule
from ...wrappers import average_weights
from ..law import Rng, Shown, law, relative

SGD, NESTEROV = rules.sgd(), rules.sgd(nesterov=True)
AVERAGED = average_weights(SGD)
STEPS, DIMENSIONS, DRAWS = 9, 3, 12

_LYAPUNOV = (
    "largest relative difference; the equation's condition is 1/(1−ρ²) for a spectral radius ρ, below 1e4 for these draws, "
    "times its 4 by 4 elimination's 1e-15"
)


@quickly_compiled(static_argnames="rule")
def _all_runs(rule: Any, hypers: Any, curvature: Array, first: Array, noise: Array) -> tuple[Array, Array]:
    """Last p and weight average (or p again) of a run for each row of first (n, d) and noise (n, T, d), by the rule."""

    def one(carry: Any, now: Any) -> tuple[Any, None]:
        hyper, n = now
        p, state = carry
        return rule.step(hyper, p, state, curvature * p + n), None

    p, state = lax.scan(one, (first, rule.init(first)), (hypers, noise.transpose(1, 0, 2)))[0]
    return p, getattr(state, "average", p)


@quickly_compiled(static_argnames="rule")
def _solved(rule: Rule, hyper: Any, curvature: Array, variance: Array) -> Array:
    """Stationary variance of p, from the Lyapunov equation of the rule's own linear map."""
    return jax.vmap(lambda hyper, h, c: stationary(linear_step(rule, hyper), h, c)[0, 0])(hyper, curvature, variance)


def _variance(rule: Rule, curvature: np.ndarray, variance: np.ndarray, **numbers: np.ndarray) -> np.ndarray:
    hyper = rule.Hyper(**{name: jnp.asarray(numbers.get(name, np.zeros(DRAWS))) for name in rule.Hyper._fields})
    return np.asarray(_solved(rule, hyper, jnp.asarray(curvature), jnp.asarray(variance)))


def _draws(rng: np.random.Generator, reach: float) -> dict[str, np.ndarray]:
    """Numbers with lr·h up to ``reach``, below every threshold there is."""
    curvature, momentum = np.exp(rng.uniform(-2, 2, DRAWS)), rng.uniform(0.1, 0.95, DRAWS)
    return {
        "lr": rng.uniform(0.01, reach, DRAWS) / curvature,
        "momentum": momentum,
        "curvature": curvature,
        "variance": np.exp(rng.uniform(-1, 1, DRAWS)),
    }


def _ran(what: str) -> str:
    return f"{DRAWS} draws of lr, momentum, h and σ²: {what} against the Lyapunov equation of the rule's linear map"


@law(
    r"""exact batch.moments: moments on a noisy quadratic
    mean \leftarrow A\,mean, \qquad S \leftarrow A S A^\top + G C G^\top/B
    scope: every rule with a linear step, decay, weight average and lr schedule included, for z = (p, memory) and
    gradients hp + n with n of mean 0 and covariance C/B; S is the covariance, whatever the distribution of n
    source: Zhang et al. 2019, 1907.04164; A and G are Jacobians of the rule's step, checked by enumeration
    """,
    propagate,
    {
        "noise not divided by the batch": lambda steps, problem, batch: propagate(steps, problem, batch**0.0),
        "noise over √B": lambda steps, problem, batch: propagate(steps, problem, batch**0.5),
        "no noise": lambda steps, problem, batch: propagate(
            steps, problem._replace(variance=0 * problem.variance), batch
        ),
        "first gradient damped": lambda steps, problem, batch: propagate(
            jax.tree.map(lambda x: x.at[0].set(x[1]), steps), problem, batch
        ),
    },
    bound=1e-12,
    why=f"largest difference over the largest entry; means of {2**STEPS} runs of {STEPS} steps of a dozen roundings of "
    "1.1e-16, centred",
)
def moments(formula: Any, rng: Rng) -> Shown:
    # Noise is ±√(c/B), each sign as likely: all sequences of signs together are the distribution, not a sample of it.
    signs = 1.0 - 2 * ((np.arange(2**STEPS)[:, None] >> np.arange(STEPS)) & 1)
    batch = float(rng.integers(2, 9))
    curvature, variance, start = np.exp(rng.uniform(-1, 1, (3, DIMENSIONS)))
    problem = NoisyQuadratic(curvature, variance, start, np.zeros(DIMENSIONS))
    noise = signs[:, :, None] * np.sqrt(problem.variance / batch)
    first = np.broadcast_to(problem.mean, (len(signs), DIMENSIONS))
    moving = {"lr": rng.uniform(0.05, 0.3, STEPS), "momentum": rng.uniform(0.3, 0.9), "weight_decay": 0.1}
    errors = {}
    for rule, numbers in (
        (AVERAGED, {**moving, "dampening": rng.uniform(0.1, 0.5), "ema_decay": 0.8}),
        (NESTEROV, moving),
    ):
        one = rule.hyper(**{**numbers, "lr": 1.0})._asdict()
        hypers = rule.Hyper(**{k: jnp.broadcast_to(jnp.asarray(numbers.get(k, v)), (STEPS,)) for k, v in one.items()})
        ends = _all_runs(rule, hypers, *map(jnp.asarray, (problem.curvature, first, noise)))
        seen = np.stack(ends, axis=-1)[:, :, : 2 if rule is AVERAGED else 1]
        mean = seen.mean(axis=0)
        covariance = np.einsum("ndi,ndj->dij", seen - mean, seen - mean) / len(seen)
        found = formula(linear_steps(rule, hypers), jax.tree.map(jnp.asarray, problem), batch)[0]
        at = [0, 2][: seen.shape[-1]]  # p and the average; what lies between is the buffer
        of_mean = np.max(np.abs(np.asarray(found.mean)[:, at] - mean)) / np.max(np.abs(mean))
        of_covariance = np.max(np.abs(np.asarray(found.covariance)[:, at][:, :, at] - covariance))
        errors[f"mean, {rule!r}"] = float(of_mean)
        errors[f"covariance, {rule!r}"] = float(of_covariance / np.max(np.abs(covariance)))
    yield (
        f"{STEPS} steps of SGD with momentum, dampening, decay, a moving lr and a weight average, and of Nesterov, in "
        f"{DIMENSIONS} dimensions: mean and covariance over all {2**STEPS} sequences of noise ±√(c/B), each run by the rule"
    )
    yield list(errors.values())
    yield errors


@law(
    r"""exact batch.variance-heavy-ball: stationary variance, heavy ball
    \mathrm{Var}\,p = \frac{e\,\sigma^2 (1+momentum)}{h(1-momentum)(2(1+momentum)-e h)},\quad e = lr(1-dampening)
    scope: SGD with 0 ≤ momentum < 1 below its threshold; σ² is the variance of the batch's gradient
    source: the discrete Lyapunov equation, solved by hand; checked against its numerical solution
    """,
    heavy_ball_variance,
    {
        "continuous-time limit": lambda lr, momentum, dampening, curvature, variance: (
            lr * (1 - dampening) * variance / (2 * curvature * (1 - momentum))
        ),
        "dampening forgotten": lambda dampening, **numbers: heavy_ball_variance(dampening=0.0, **numbers),
    },
    bound=1e-10,
    why=_LYAPUNOV,
)
def variance_heavy_ball(formula: Any, rng: Rng) -> Shown:
    numbers, dampening = _draws(rng, 1.8), rng.uniform(0.0, 0.9, DRAWS)
    yield _ran("the closed form")
    yield relative(formula(dampening=dampening, **numbers), _variance(SGD, **numbers, dampening=dampening))


@law(
    r"""exact batch.variance-nesterov: stationary variance, Nesterov
    \mathrm{Var}\,p = \frac{lr\,\sigma^2(1+\mu+x\mu+2x\mu^2)}{h(1-\mu+x\mu)(2(1+\mu)-x(1+2\mu))},\quad x = lr\,h,\; \mu
    = momentum
    scope: SGD with Nesterov's look-ahead below its threshold; σ² is the variance of the batch's gradient
    source: the discrete Lyapunov equation, solved by hand; checked against its numerical solution
    """,
    nesterov_variance,
    {
        "that of heavy ball": functools.partial(heavy_ball_variance, dampening=0.0),
        "without the last term": lambda lr, momentum, curvature, variance: (
            nesterov_variance(lr, momentum, curvature, variance)
            / (1 + momentum + lr * curvature * momentum + 2 * lr * curvature * momentum**2)
            * (1 + momentum + lr * curvature * momentum)
        ),
    },
    bound=1e-10,
    why=_LYAPUNOV,
)
def variance_nesterov(formula: Any, rng: Rng) -> Shown:
    numbers = _draws(rng, 1.2)
    yield _ran("the closed form")
    yield relative(formula(**numbers), _variance(NESTEROV, **numbers))


@law(
    r"""exact batch.equal-variance: lr of equal variance
    lr_\kappa = \frac{2(1+momentum)\,\kappa\,lr}{2(1+momentum) + (\kappa-1)\,lr\,h}
    scope: SGD with momentum, no dampening, one direction of curvature h: as the batch grows lr tends to the threshold.
    No one lr serves directions of different curvature
    source: derived here from the stationary variance of heavy ball; without momentum 2κlr/(2+(κ−1)lr·h)
    """,
    equal_variance_lr,
    {
        "linear rule": lambda lr, kappa, curvature, momentum: kappa * lr,
        "square-root rule": lambda lr, kappa, curvature, momentum: kappa**0.5 * lr,
        "momentum forgotten": lambda lr, kappa, curvature, momentum: equal_variance_lr(lr, kappa, curvature),
    },
    bound=1e-10,
    why=_LYAPUNOV,
)
def equal_variance(formula: Any, rng: Rng) -> Shown:
    numbers, kappa = _draws(rng, 1.8), rng.uniform(1.5, 16, DRAWS)
    lr = formula(numbers["lr"], kappa, numbers["curvature"], numbers["momentum"])
    larger = _variance(SGD, **{**numbers, "lr": lr, "variance": numbers["variance"] / kappa})
    yield _ran("variance at the new lr and κB over that at lr and B")
    yield relative(larger, _variance(SGD, **numbers))
