"""Moments on a noisy quadratic, and the variances they settle at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...quadratic import (
    LinearStep,
    Moments,
    NoisyQuadratic,
    equal_variance_lr,
    heavy_ball_variance,
    linear_step,
    linear_steps,
    nesterov_variance,
    propagate,
    stationary,
)
from ...rules import Rule
from ...wrappers import average_weights
from ..law import Evidence, Law

SGD, NESTEROV = rules.sgd(), rules.sgd(nesterov=True)
AVERAGED = average_weights(SGD)
STEPS, DIMENSIONS, DRAWS = 9, 3, 12

Formula = Callable[[LinearStep, NoisyQuadratic, Any], tuple[Moments, Any]]


@functools.partial(jax.jit, static_argnames="rule")
def _all_runs(rule: Any, hypers: Any, curvature: Array, first: Array, noise: Array) -> tuple[Array, Array]:
    """Last p and weight average (or p again) of a run for each row of first (n, d) and noise (n, T, d), by the rule."""

    def one(carry: Any, now: Any) -> tuple[Any, None]:
        hyper, n = now
        p, state = carry
        return rule.step(hyper, p, state, curvature * p + n), None

    p, state = lax.scan(one, (first, rule.init(first)), (hypers, noise.transpose(1, 0, 2)))[0]
    return p, getattr(state, "average", p)


def _check_moments(formula: Formula, seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    # Noise is ±√(c/B), each sign as likely: all sequences of signs together are the distribution, not a sample of it.
    signs = 1.0 - 2 * ((np.arange(2**STEPS)[:, None] >> np.arange(STEPS)) & 1)
    batch = float(rng.integers(2, 9))
    curvature, variance, start = np.exp(rng.uniform(-1, 1, (3, DIMENSIONS)))
    problem = NoisyQuadratic(curvature, variance, start, np.zeros(DIMENSIONS))
    noise = signs[:, :, None] * np.sqrt(problem.variance / batch)
    first = np.broadcast_to(problem.mean, (len(signs), DIMENSIONS))
    moving = {"lr": rng.uniform(0.05, 0.3, STEPS), "momentum": rng.uniform(0.3, 0.9), "weight_decay": 0.1}
    errors = {}
    with jax.enable_x64(True):
        for rule, numbers in (
            (AVERAGED, {**moving, "dampening": rng.uniform(0.1, 0.5), "ema_decay": 0.8}),
            (NESTEROV, moving),
        ):
            one = rule.hyper(**{**numbers, "lr": 1.0})._asdict()
            hypers = rule.Hyper(
                **{k: jnp.broadcast_to(jnp.asarray(numbers.get(k, v)), (STEPS,)) for k, v in one.items()}
            )
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
    return Evidence(
        ran=f"{STEPS} steps of SGD with momentum, dampening, decay, a moving lr and a weight average, and of Nesterov, in "
        f"{DIMENSIONS} dimensions: mean and covariance over all {2**STEPS} sequences of noise ±√(c/B), each run by the rule",
        residual=float(np.max(list(errors.values()))),
        bound=1e-12,
        derivation=f"largest difference over the largest entry; means of {2**STEPS} runs of {STEPS} steps of a dozen "
        "roundings of 1.1e-16, centred",
        figures=errors,
    )


@functools.partial(jax.jit, static_argnames="rule")
def _solved(rule: Rule, hyper: Any, curvature: Array, variance: Array) -> Array:
    """Stationary variance of p, from the Lyapunov equation of the rule's own linear map."""
    return jax.vmap(lambda hyper, h, c: stationary(linear_step(rule, hyper), h, c)[0, 0])(hyper, curvature, variance)


def _variance(rule: Rule, curvature: np.ndarray, variance: np.ndarray, **numbers: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        zero = np.zeros(len(curvature))
        hyper = rule.Hyper(**{name: jnp.asarray(numbers.get(name, zero)) for name in rule.Hyper._fields})
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


def _stationary_evidence(what: str, found: np.ndarray, solved: np.ndarray) -> Evidence:
    return Evidence(
        ran=f"{DRAWS} draws of lr, momentum, h and σ²: {what} against the Lyapunov equation of the rule's linear map",
        residual=float(np.max(np.abs(found / solved - 1))),
        bound=1e-10,
        derivation="largest relative difference; the equation's condition is 1/(1−ρ²) for a spectral radius ρ, below 1e4 "
        "for these draws, times its 4 by 4 elimination's 1e-15",
    )


def _check_heavy_ball(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    numbers, dampening = _draws(rng, 1.8), rng.uniform(0.0, 0.9, DRAWS)
    solved = _variance(SGD, **numbers, dampening=dampening)
    return _stationary_evidence("the closed form", formula(dampening=dampening, **numbers), solved)


def _check_nesterov(formula: Callable[..., Any], seed: int) -> Evidence:
    numbers = _draws(np.random.default_rng(seed), 1.2)
    return _stationary_evidence("the closed form", formula(**numbers), _variance(NESTEROV, **numbers))


def _check_equal_variance(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    numbers, kappa = _draws(rng, 1.8), rng.uniform(1.5, 16, DRAWS)
    lr = formula(numbers["lr"], kappa, numbers["curvature"], numbers["momentum"])
    larger = _variance(SGD, **{**numbers, "lr": lr, "variance": numbers["variance"] / kappa})
    return _stationary_evidence(
        "variance at the new lr and κB over that at lr and B", larger, _variance(SGD, **numbers)
    )


def _altered(**change: float) -> Formula:
    def formula(steps: LinearStep, problem: NoisyQuadratic, batch: Any) -> tuple[Moments, Any]:
        variance = problem.variance * change.get("noise", 1.0)
        problem = problem._replace(variance=variance, curvature=problem.curvature * change.get("curvature", 1.0))
        return propagate(steps, problem, batch ** change.get("power", 1.0))

    return formula


def _always_damped(steps: LinearStep, problem: NoisyQuadratic, batch: Any) -> tuple[Moments, Any]:
    """The first step like the second, as if torch damped its first gradient."""
    return propagate(jax.tree.map(lambda x: x.at[0].set(x[1]), steps), problem, batch)


LAWS = (
    Law(
        id="batch.moments",
        title="moments on a noisy quadratic",
        statement=r"mean \leftarrow A\,mean, \qquad S \leftarrow A S A^\top + G C G^\top/B",
        kind="exact",
        scope="every rule with a linear step, decay, weight average and lr schedule included, for z = (p, memory) and "
        "gradients hp + n with n of mean 0 and covariance C/B; S is the covariance, whatever the distribution of n",
        source="Zhang et al. 2019, 1907.04164; A and G are Jacobians of the rule's step, checked by enumeration",
        formula=propagate,
        check=_check_moments,
        mutants={
            "noise not divided by the batch": _altered(power=0.0),
            "noise over √B": _altered(power=0.5),
            "no noise": _altered(noise=0.0),
            "first gradient damped": _always_damped,
        },
    ),
    Law(
        id="batch.variance-heavy-ball",
        title="stationary variance, heavy ball",
        statement=r"\mathrm{Var}\,p = \frac{e\,\sigma^2 (1+momentum)}{h(1-momentum)(2(1+momentum)-e h)},\quad "
        r"e = lr(1-dampening)",
        kind="exact",
        scope="SGD with 0 ≤ momentum < 1 below its threshold; σ² is the variance of the batch's gradient",
        source="the discrete Lyapunov equation, solved by hand; checked against its numerical solution",
        formula=heavy_ball_variance,
        check=_check_heavy_ball,
        mutants={
            "continuous-time limit": lambda lr, momentum, dampening, curvature, variance: (
                lr * (1 - dampening) * variance / (2 * curvature * (1 - momentum))
            ),
            "dampening forgotten": lambda lr, momentum, dampening, curvature, variance: heavy_ball_variance(
                lr, momentum, 0.0, curvature, variance
            ),
        },
    ),
    Law(
        id="batch.variance-nesterov",
        title="stationary variance, Nesterov",
        statement=r"\mathrm{Var}\,p = \frac{lr\,\sigma^2(1+\mu+x\mu+2x\mu^2)}{h(1-\mu+x\mu)(2(1+\mu)-x(1+2\mu))},"
        r"\quad x = lr\,h,\; \mu = momentum",
        kind="exact",
        scope="SGD with Nesterov's look-ahead below its threshold; σ² is the variance of the batch's gradient",
        source="the discrete Lyapunov equation, solved by hand; checked against its numerical solution",
        formula=nesterov_variance,
        check=_check_nesterov,
        mutants={
            "that of heavy ball": lambda lr, momentum, curvature, variance: heavy_ball_variance(
                lr, momentum, 0.0, curvature, variance
            ),
            "without the last term": lambda lr, momentum, curvature, variance: (
                nesterov_variance(lr, momentum, curvature, variance)
                / (1 + momentum + lr * curvature * momentum + 2 * lr * curvature * momentum**2)
                * (1 + momentum + lr * curvature * momentum)
            ),
        },
    ),
    Law(
        id="batch.equal-variance",
        title="lr of equal variance",
        statement=r"lr_\kappa = \frac{2(1+momentum)\,\kappa\,lr}{2(1+momentum) + (\kappa-1)\,lr\,h}",
        kind="exact",
        scope="SGD with momentum, no dampening, one direction of curvature h: as the batch grows lr tends to the threshold. "
        "No one lr serves directions of different curvature",
        source="derived here from the stationary variance of heavy ball; without momentum 2κlr/(2+(κ−1)lr·h)",
        formula=equal_variance_lr,
        check=_check_equal_variance,
        mutants={
            "linear rule": lambda lr, kappa, curvature, momentum: kappa * lr,
            "square-root rule": lambda lr, kappa, curvature, momentum: kappa**0.5 * lr,
            "momentum forgotten": lambda lr, kappa, curvature, momentum: equal_variance_lr(lr, kappa, curvature),
        },
    ),
)
