"""The best lr of one step, and the noise scale that it depends on."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist
from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import rules
from ...quadratic import NoiseScale, estimate_from_norms, noise_scale, optimal_lr
from ...rules import Rule
from ..law import Rng, Shown, law, relative

DIMENSIONS = 3
SIGNS = np.array(list(itertools.product((-1.0, 1.0), repeat=DIMENSIONS)))
SGD, SIGN = rules.sgd(), rules.signsgd()


def _erf(gradient: np.ndarray, deviation: np.ndarray, batch: float) -> np.ndarray:
    return np.array([math.erf(x) for x in np.sqrt(batch / 2) * gradient / deviation])


def best_sign_lr(gradient: np.ndarray, deviation: np.ndarray, hessian: np.ndarray, batch: float) -> float:
    """ΣE_iμ_i/(ΣH_ii + Σ_{i≠j} H_ij E_i E_j) with E_i = erf(√(B/2) μ_i/σ_i): lr of sign descent.

    Parameters
    ----------
    gradient, deviation : (d,)
        Mean and standard deviation of one example's gradient, its coordinates independent and Gaussian.
    """
    sign = _erf(gradient, deviation, batch)
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


@law(
    r"""exact batch.optimal-lr: best lr of one step
    lr_{opt}(B) = \frac{lr_{max}}{1+B_n/B},\quad lr_{max} = \frac{\|G\|^2}{G^\top H G},\quad B_n =
    \frac{\mathrm{tr}(H\Sigma)}{G^\top H G}
    scope: SGD without momentum, one step, quadratic loss; Σ the covariance of one example's gradient
    source: McCandlish et al. 2018, 1812.06162, section 2; derived again here, checked by the vertex of the expected
    loss
    ran: one SGD step on a quadratic in 3 dimensions for each of 8 gradients that together have covariance Σ/B, B = 1,
    7, 512: the lr at the vertex of the expected loss
    why: largest relative difference; the vertex of a parabola through three values of size 1 to 1e3 is good to their
    1e-15 times a condition below 1e4
    """,
    lambda g, H, S, batch: optimal_lr(noise_scale(g, H, S), batch),
    {
        "no noise": lambda g, H, S, batch: noise_scale(g, H, S).lr_max,
        "trΣ/‖G‖² for any Hessian": lambda g, H, S, batch: optimal_lr(
            NoiseScale(noise_scale(g, H, S).lr_max, np.trace(S) / (g @ g)), batch
        ),
        "square root of the noise": lambda g, H, S, batch: (
            noise_scale(g, H, S).lr_max / (1 + noise_scale(g, H, S).batch / batch) ** 0.5
        ),
    },
    bound=1e-10,
)
def best_of_sgd(formula: Any, rng: Rng) -> Shown:
    point, hessian, root = _draw(rng)
    for batch in (1.0, 7.0, 512.0):
        gradients = hessian @ point + SIGNS @ root.T / np.sqrt(batch)  # covariance Σ/B exactly, Σ = root root'
        measured = _best(SGD, point, gradients, np.full(len(SIGNS), 1 / len(SIGNS)), hessian)
        yield relative(formula(hessian @ point, hessian, root @ root.T, batch), measured)


@law(
    r"""exact batch.noise-scale-estimators: estimators of the noise scale
    \mathbb E\,\frac{B_b\|g_b\|^2 - B_s\|g_s\|^2}{B_b-B_s} = \|G\|^2,\qquad \mathbb
    E\,\frac{\|g_s\|^2-\|g_b\|^2}{1/B_s-1/B_b} = \mathrm{tr}\,\Sigma
    scope: expectations over independent examples, B_s < B_b, batches that may share examples; the ratio of the two is
    biased. Without replacement from N examples put B(N−1)/(N−B) for B
    source: McCandlish et al. 2018, 1812.06162, appendix A.1; E‖g_B‖² = ‖G‖² + trΣ/B, checked by enumeration
    ran: every batch of 3 of 6 skewed gradients with replacement, its first one as the small batch within it: means of
    both estimates against ‖G‖² and trΣ
    why: relative; means of 216 squares of a few roundings of 1.1e-16, whose difference is a tenth of them or more
    """,
    estimate_from_norms,
    {
        "weights exchanged": lambda s, b, B_s, B_b: estimate_from_norms(s, b, B_s, B_b)._replace(
            square=(B_b * s - B_s * b) / (B_b - B_s)
        ),
        "‖g_b‖² for ‖G‖²": lambda s, b, B_s, B_b: estimate_from_norms(s, b, B_s, B_b)._replace(square=b),
        "big batch without noise": lambda s, b, B_s, B_b: estimate_from_norms(s, b, B_s, B_b)._replace(
            trace=(s - b) * B_s
        ),
    },
    bound=1e-12,
)
def noise_scale_estimators(formula: Any, rng: Rng) -> Shown:
    # Skewed gradients: only two moments matter.
    examples = rng.standard_normal(DIMENSIONS) + rng.exponential(size=(6, DIMENSIONS))
    batches = np.array(list(itertools.product(range(6), repeat=3)))
    squares = [np.sum(examples[batches[:, :n]].mean(axis=1) ** 2, axis=1) for n in (1, 3)]  # the small within the big
    found = [float(np.mean(estimate)) for estimate in formula(*squares, 1, 3)]
    mean = examples.mean(axis=0)
    errors = relative(found, np.array([mean @ mean, examples.var(axis=0).sum()]))
    yield errors
    yield {"error of the square": float(errors[0]), "error of the trace": float(errors[1])}


@law(
    r"""exact batch.sign-descent: best lr of sign descent
    lr_{opt}(B) = \frac{\sum_i E_i\mu_i}{\sum_i H_{ii} + \sum_{i\ne j} H_{ij}E_iE_j},\quad E_i =
    \mathrm{erf}\left(\sqrt{B/2}\,\mu_i/\sigma_i\right)
    scope: signSGD, one step, quadratic loss, Gaussian gradients with independent coordinates; Adam where its moments
    have no memory and eps = 0
    source: Li et al. 2024, 2405.14578; derived again here, checked by the vertex of the expected loss over all sign
    patterns
    ran: one step of signSGD on a quadratic in 3 dimensions for each of 8 sign patterns, weighted with their Gaussian
    probabilities, B = 1, 8, 64: the lr at the vertex of the expected loss
    why: as for SGD: a vertex good to 1e-15 times a condition below 1e4
    """,
    best_sign_lr,
    {
        "signs without noise": lambda g, s, H, batch: np.abs(g).sum() / (np.sign(g) @ H @ np.sign(g)),
        "erf(√B μ/σ)": lambda g, s, H, batch: best_sign_lr(g, s, H, 2 * batch),
        "diagonal weighted by E² too": lambda g, s, H, batch: (E := _erf(g, s, batch)) @ g / (E @ H @ E),
    },
    bound=1e-10,
)
def sign_descent(formula: Any, rng: Rng) -> Shown:
    point, hessian, _ = _draw(rng)
    mean, deviation = hessian @ point, rng.uniform(1, 4, DIMENSIONS) * np.abs(hessian @ point)
    for batch in (1.0, 8.0, 64.0):
        gradients = [NormalDist(m, s / math.sqrt(batch)) for m, s in zip(mean, deviation, strict=True)]
        positive = np.array([1 - gradient.cdf(0) for gradient in gradients])
        weights = np.prod(np.where(SIGNS > 0, positive, 1 - positive), axis=1)
        yield relative(formula(mean, deviation, hessian, batch), _best(SIGN, point, SIGNS, weights, hessian))
