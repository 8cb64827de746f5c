"""The best lr of one step, and the noise scale that it depends on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...quadratic import GradientEstimate, NoiseScale, estimate_from_norms, noise_scale, optimal_lr
from ...rules import Rule
from ..law import Evidence, Law

DIMENSIONS = 3
SGD, SIGN = rules.sgd(), rules.signsgd()


def best_lr(gradient: Any, hessian: Any, covariance: Any, batch: Any) -> Any:
    """lr_max/(1 + B_n/B) with lr_max = ‖G‖²/GᵀHG and B_n = tr(HΣ)/GᵀHG."""
    return optimal_lr(noise_scale(gradient, hessian, covariance), batch)


def best_sign_lr(gradient: np.ndarray, deviation: np.ndarray, hessian: np.ndarray, batch: float) -> float:
    """ΣE_iμ_i/(ΣH_ii + Σ_{i≠j} H_ij E_i E_j) with E_i = erf(√(B/2) μ_i/σ_i): lr of sign descent.

    Parameters
    ----------
    gradient, deviation : (d,)
        Mean and standard deviation of one example's gradient, its coordinates independent and Gaussian.
    """
    sign = np.array([math.erf(x) for x in np.sqrt(batch / 2) * gradient / deviation])
    return float(sign @ gradient / (np.trace(hessian) * 1.0 + sign @ (hessian - np.diag(np.diag(hessian))) @ sign))


def _draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point, a Hessian and a root of the covariance of one example's gradient."""
    root = rng.standard_normal((DIMENSIONS, DIMENSIONS))
    return rng.standard_normal(DIMENSIONS), root @ root.T + 0.1 * np.eye(DIMENSIONS), rng.standard_normal(root.shape)


def _best(rule: Rule, point: np.ndarray, gradients: np.ndarray, weights: np.ndarray, hessian: np.ndarray) -> float:
    """Where the expected loss after one step of the rule is least: it is a parabola in lr, and three values give it."""
    lrs, losses = np.array([0.0, 0.5, 1.0]), []
    points = jnp.broadcast_to(jnp.asarray(point), gradients.shape)
    for lr in lrs:
        after = np.asarray(rule.step(rule.hyper(lr=lr), points, rule.init(points), jnp.asarray(gradients))[0])
        losses.append(weights @ (0.5 * np.einsum("ni,ij,nj->n", after, hessian, after)))
    second, first, _ = np.polyfit(lrs, losses, 2)
    return -first / (2 * second)


def _check_best_lr(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    point, hessian, root = _draw(rng)
    errors = []
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=DIMENSIONS)))
    with jax.enable_x64(True):
        for batch in (1.0, 7.0, 512.0):
            gradients = hessian @ point + signs @ root.T / np.sqrt(batch)  # covariance Σ/B exactly, Σ = root root'
            measured = _best(SGD, point, gradients, np.full(len(signs), 1 / len(signs)), hessian)
            errors.append(abs(float(formula(hessian @ point, hessian, root @ root.T, batch)) / measured - 1))
    return Evidence(
        ran="one SGD step on a quadratic in 3 dimensions for each of 8 gradients that together have covariance Σ/B, "
        "B = 1, 7, 512: the lr at the vertex of the expected loss",
        residual=float(np.max(errors)),
        bound=1e-10,
        derivation="largest relative difference; the vertex of a parabola through three values of size 1 to 1e3 is good to "
        "their 1e-15 times a condition below 1e4",
    )


def _check_sign(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    point, hessian, _ = _draw(rng)
    mean, deviation = hessian @ point, rng.uniform(1, 4, DIMENSIONS) * np.abs(hessian @ point)
    errors = []
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=DIMENSIONS)))
    with jax.enable_x64(True):
        for batch in (1.0, 8.0, 64.0):
            positive = np.array(
                [1 - NormalDist(m, s / math.sqrt(batch)).cdf(0) for m, s in zip(mean, deviation, strict=True)]
            )
            weights = np.prod(np.where(signs > 0, positive, 1 - positive), axis=1)
            measured = _best(SIGN, point, signs, weights, hessian)
            errors.append(abs(formula(mean, deviation, hessian, batch) / measured - 1))
    return Evidence(
        ran="one step of signSGD on a quadratic in 3 dimensions for each of 8 sign patterns, weighted with their Gaussian "
        "probabilities, B = 1, 8, 64: the lr at the vertex of the expected loss",
        residual=float(np.max(errors)),
        bound=1e-10,
        derivation="as for SGD: a vertex good to 1e-15 times a condition below 1e4",
    )


def _check_estimators(formula: Callable[..., GradientEstimate], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    examples = rng.standard_normal(DIMENSIONS) + rng.exponential(
        size=(6, DIMENSIONS)
    )  # skewed: only two moments matter
    batches = np.array(list(itertools.product(range(6), repeat=3)))
    squares = [np.sum(examples[batches[:, :n]].mean(axis=1) ** 2, axis=1) for n in (1, 3)]  # the small within the big
    found = [float(np.mean(estimate)) for estimate in formula(*squares, 1, 3)]
    mean = examples.mean(axis=0)
    truths = (float(mean @ mean), float(examples.var(axis=0).sum()))
    errors = [abs(a / b - 1) for a, b in zip(found, truths, strict=True)]
    return Evidence(
        ran="every batch of 3 of 6 skewed gradients with replacement, its first one as the small batch within it: means of both "
        "estimates against ‖G‖² and trΣ",
        residual=float(np.max(errors)),
        bound=1e-12,
        derivation="relative; means of 216 squares of a few roundings of 1.1e-16, whose difference is a tenth of them or more",
        figures={"error of the square": errors[0], "error of the trace": errors[1]},
    )


def _exchanged(small_square: Any, big_square: Any, small_batch: Any, big_batch: Any) -> GradientEstimate:
    """Weights of the two batches exchanged."""
    square = (big_batch * small_square - small_batch * big_square) / (big_batch - small_batch)
    return GradientEstimate(square, estimate_from_norms(small_square, big_square, small_batch, big_batch).trace)


def _plain(small_square: Any, big_square: Any, small_batch: Any, big_batch: Any) -> GradientEstimate:
    """The squared norm of the big batch taken for ‖G‖²."""
    return GradientEstimate(big_square, estimate_from_norms(small_square, big_square, small_batch, big_batch).trace)


def _no_one(small_square: Any, big_square: Any, small_batch: Any, big_batch: Any) -> GradientEstimate:
    """The trace as if the big batch had no noise."""
    return GradientEstimate(
        estimate_from_norms(small_square, big_square, small_batch, big_batch).square,
        (small_square - big_square) * small_batch,
    )


LAWS = (
    Law(
        id="batch.optimal-lr",
        title="best lr of one step",
        statement=r"lr_{opt}(B) = \frac{lr_{max}}{1+B_n/B},\quad lr_{max} = \frac{\|G\|^2}{G^\top H G},\quad "
        r"B_n = \frac{\mathrm{tr}(H\Sigma)}{G^\top H G}",
        kind="exact",
        scope="SGD without momentum, one step, quadratic loss; Σ the covariance of one example's gradient",
        source="McCandlish et al. 2018, 1812.06162, section 2; derived again here, checked by the vertex of the expected loss",
        formula=best_lr,
        check=_check_best_lr,
        mutants={
            "no noise": lambda gradient, hessian, covariance, batch: noise_scale(gradient, hessian, covariance).lr_max,
            "trΣ/‖G‖² for any Hessian": lambda gradient, hessian, covariance, batch: optimal_lr(
                NoiseScale(
                    noise_scale(gradient, hessian, covariance).lr_max, np.trace(covariance) / (gradient @ gradient)
                ),
                batch,
            ),
            "square root of the noise": lambda gradient, hessian, covariance, batch: (
                noise_scale(gradient, hessian, covariance).lr_max
                / (1 + noise_scale(gradient, hessian, covariance).batch / batch) ** 0.5
            ),
        },
    ),
    Law(
        id="batch.noise-scale-estimators",
        title="estimators of the noise scale",
        statement=r"\mathbb E\,\frac{B_b\|g_b\|^2 - B_s\|g_s\|^2}{B_b-B_s} = \|G\|^2,\qquad "
        r"\mathbb E\,\frac{\|g_s\|^2-\|g_b\|^2}{1/B_s-1/B_b} = \mathrm{tr}\,\Sigma",
        kind="exact",
        scope="expectations over independent examples, B_s < B_b, batches that may share examples; the ratio of the two is biased. Without "
        "replacement from N examples put B(N−1)/(N−B) for B",
        source="McCandlish et al. 2018, 1812.06162, appendix A.1; E‖g_B‖² = ‖G‖² + trΣ/B, checked by enumeration",
        formula=estimate_from_norms,
        check=_check_estimators,
        mutants={"weights exchanged": _exchanged, "‖g_b‖² for ‖G‖²": _plain, "big batch without noise": _no_one},
    ),
    Law(
        id="batch.sign-descent",
        title="best lr of sign descent",
        statement=r"lr_{opt}(B) = \frac{\sum_i E_i\mu_i}{\sum_i H_{ii} + \sum_{i\ne j} H_{ij}E_iE_j},\quad "
        r"E_i = \mathrm{erf}\left(\sqrt{B/2}\,\mu_i/\sigma_i\right)",
        kind="exact",
        scope="signSGD, one step, quadratic loss, Gaussian gradients with independent coordinates; Adam where its moments "
        "have no memory and eps = 0",
        source="Li et al. 2024, 2405.14578; derived again here, checked by the vertex of the expected loss over all sign patterns",
        formula=best_sign_lr,
        check=_check_sign,
        mutants={
            "signs without noise": lambda gradient, deviation, hessian, batch: float(
                np.abs(gradient).sum() / (np.sign(gradient) @ hessian @ np.sign(gradient))
            ),
            "erf(√B μ/σ)": lambda gradient, deviation, hessian, batch: best_sign_lr(
                gradient, deviation, hessian, 2 * batch
            ),
            "diagonal weighted by E² too": lambda gradient, deviation, hessian, batch: _all_weighted(
                gradient, deviation, hessian, batch
            ),
        },
    ),
)


def _all_weighted(gradient: np.ndarray, deviation: np.ndarray, hessian: np.ndarray, batch: float) -> float:
    sign = np.array([math.erf(x) for x in np.sqrt(batch / 2) * gradient / deviation])
    return float(sign @ gradient / (sign @ hessian @ sign))
