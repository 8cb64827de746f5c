"""Claims about the α at which training is destabilised: SGD by a large one, Adam through a fixed eps."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import rules
from ..law import Evidence, claim
from ..trajectory import descend


def quadratic(w: Any, curvature: Any) -> Any:
    """Half the curvature times the square; curvature may carry a loss scale."""
    return jnp.sum(curvature * w * w) / 2


def destabilising_scale(hyper: Any, curvature: float) -> float:
    r"""α above which Adam with a fixed eps oscillates away from a minimum where gradients are far below eps.

    Adam is SGD with lr/eps and averaged gradients there: :math:`\frac{2 + 2\,beta1}{1 - beta1} \frac{eps}{lr \cdot
    curvature}`; inf at eps 0.
    """
    return (
        math.inf if hyper.eps == 0 else (2 + 2 * hyper.beta1) / (1 - hyper.beta1) * hyper.eps / (hyper.lr * curvature)
    )


def _check_destabilised(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 74])
    adam = rules.adam()
    curvature = rng.uniform(0.5, 3)
    hyper = adam.hyper(lr=rng.uniform(0.01, 0.1), beta1=rng.uniform(0.5, 0.9), eps=rng.uniform(0.1, 1))
    limit = formula(hyper, curvature)
    start = np.array([1e-100, -1e-120])

    def grows(hyper: Any, alpha: float) -> bool:
        size = np.abs(descend(adam, hyper, quadratic, start, 400, alpha * curvature).params).max(axis=1)
        return bool(size[-20:].max() > min(size[200:220].max(), 1e-80))  # 1e-80: grown until v took over

    # Eps scaled with the loss: as if nothing had happened. Without eps: any α does nothing, to the bit.
    free = adam.hyper(lr=hyper.lr, beta1=hyper.beta1, eps=0.0)
    ends = [descend(adam, free, quadratic, np.array([1.0, -2.0]), 400, a * curvature).params for a in (1.0, 2.0**20)]
    wrong = [
        grows(hyper, 0.97 * limit),
        not grows(hyper, 1.03 * limit),
        grows(hyper._replace(eps=8 * hyper.eps), 0.97 * limit * 8),
        not np.array_equal(ends[0], ends[1]) or formula(free, curvature) != math.inf,
    ]
    return Evidence(
        ran="adam on a quadratic from 1e-100 and -1e-120, 400 steps: 3% under that α and 3% over it, eps scaled eightfold with the "
        "loss, and eps 0 under α = 2^20",
        residual=float(sum(wrong)),
        bound=0.0,
        derivation="a count of outcomes other than stated: shrinks, grows, shrinks, the same bits. 3% beyond the threshold the larger "
        "root is 0.2% or more from 1 in size, a factor of 1.5 over the 180 steps compared",
        figures={"threshold α": limit},
    )


def diverging_scale(hyper: Any, curvature: float) -> float:
    r"""α above which SGD diverges on a quadratic: :math:`2(1 + momentum)/(lr(1 - dampening) \cdot curvature)`.

    Without momentum 2/(lr·curvature).
    """
    lr = hyper.lr * (1 - hyper.dampening if hyper.momentum else 1)
    return 2 * (1 + hyper.momentum) / (lr * curvature)


def _check_divergence(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 75])
    sgd, adam = rules.sgd(), rules.adam()
    curvature, start = rng.uniform(0.5, 3), np.array([1.0, -2.0])
    wrong = 0
    for numbers in ({}, {"momentum": rng.uniform(0.3, 0.9), "dampening": rng.uniform(0, 0.5)}):
        hyper = sgd.hyper(lr=rng.uniform(0.01, 0.3), **numbers)
        for factor, expected in ((0.99, False), (1.01, True)):
            size = descend(sgd, hyper, quadratic, start, 400, factor * formula(hyper, curvature) * curvature).params
            wrong += (np.abs(size[-1]).max() > np.abs(size[100:110]).max()) != expected
    hyper = adam.hyper(lr=0.1, eps=0.0)
    ends = [descend(adam, hyper, quadratic, start, 400, a * curvature).params for a in (1.0, 2.0**20)]
    wrong += not np.array_equal(ends[0], ends[1])
    return Evidence(
        ran="sgd without and with momentum and dampening on a quadratic, 400 steps at 0.99 and 1.01 of that α; adam at eps 0 under α = "
        "1 and 2^20",
        residual=float(wrong),
        bound=0.0,
        derivation="a count of outcomes other than stated: shrinks under, grows over, and for adam the same bits. 1% beyond the threshold "
        "the larger root is 0.1% or more from 1, a factor of 1.3 over 290 steps",
        figures={"threshold α": formula(sgd.hyper(lr=0.1), 1.0)},
    )


DESTABILISES_ADAM = claim(
    "scale-destabilises-adam",
    "When scaling destabilises Adam",
    "Scaling can destabilise Adam.",
    "depends",
    "exact",
    r"\alpha^* = \frac{2 + 2\,beta1}{1 - beta1} \frac{eps}{lr \cdot h}",
    scope="true only through a fixed eps: near a minimum of curvature h, where √v̂ ≪ eps, Adam is SGD with lr/eps and oscillates away for "
    "α > α*, until v has grown (steps stay bounded). False at eps 0 or with eps·α, where α changes no bit. Under- and overflow "
    "apart",
    source="Cohen et al. 2022 (2207.14484) for the frozen preconditioner, applied to eps; derived here",
    formula=destabilising_scale,
    check=_check_destabilised,
    mutants={
        "SGD's threshold": lambda hyper, h: math.inf if hyper.eps == 0 else 2 * hyper.eps / (hyper.lr * h),
        "never": lambda hyper, h: 1e6 * destabilising_scale(hyper, h),
        "also without eps": lambda hyper, h: destabilising_scale(hyper, h) if hyper.eps else 1.0,
    },
)


LARGE_DIVERGES = claim(
    "large-scale-diverges",
    "The α at which training diverges",
    "Large α leads to divergence: at which α exactly?",
    "depends",
    "exact",
    r"\alpha^* = \frac{2}{lr \cdot h} \quad (\text{momentum: } \frac{2(1 + momentum)}{lr\,(1 - dampening)\, h})",
    scope="true of sgd on a quadratic of largest curvature h: below α* it converges, above it diverges. False of adam at eps 0 and of "
    "rules whose lr is in [param], which α does not move",
    source="roots of the linear recursion; derived here",
    formula=diverging_scale,
    check=_check_divergence,
    mutants={
        "1/(lr·h)": lambda hyper, h: diverging_scale(hyper, h) / 2,
        "momentum left out": lambda hyper, h: 2 / (hyper.lr * h),
        "4/(lr·h)": lambda hyper, h: 2 * diverging_scale(hyper, h),
    },
)
