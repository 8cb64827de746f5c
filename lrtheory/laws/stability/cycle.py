r"""What RMSprop does over its threshold: no divergence, but a cycle.

At ±a the gradient is ±ha and √v is ha; the step 2a is :math:`\frac{lr}{1+\mu}\cdot\frac{ha}{ha+eps}`. So
:math:`a = \frac{lr}{2(1+\mu)} - \frac{eps}{h}`, which is above 0 exactly over the frozen threshold h/eps = 2(1+μ)/lr.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ..law import Evidence, Law

STEPS = 2000
DRAWS = 8
RULE = rules.rmsprop()


def amplitude(lr: Any, momentum: Any, eps: Any, curvature: Any) -> Any:
    """lr/(2(1+μ)) − eps/h, and 0 where that is negative: the run then settles at the minimum."""
    return np.maximum(lr / (2 * (1 + momentum)) - eps / curvature, 0)


@jax.jit
def _ends(hyper: Any, curvature: Array) -> Array:
    """The last two parameters of each run."""

    def run(hyper: Any, h: Array) -> Array:
        def one(carry: Any, _: None) -> tuple[Any, Array]:
            p, state = carry
            p, state = RULE.step(hyper, state, h * p, p)
            return (p, state), p

        first = 0.3 * hyper.lr
        return lax.scan(one, (first, RULE.init(first)), length=STEPS)[1][-2:]

    return jax.vmap(run)(hyper, curvature)


def _check(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    lr, momentum = np.exp(rng.uniform(-6, 0, DRAWS)), np.resize([0.0, 0.5], DRAWS)
    curvature, eps = np.exp(rng.uniform(-2, 3, DRAWS)), np.zeros(DRAWS)
    # Half with eps = 0, the rest with a threshold below and above the curvature in turn.
    ratio = np.resize([0.5, 0.8, 1.25, 2.0], DRAWS // 2)
    eps[DRAWS // 2 :] = (ratio * curvature[DRAWS // 2 :] * lr[DRAWS // 2 :]) / (2 * (1 + momentum[DRAWS // 2 :]))
    with jax.enable_x64(True):
        hyper = RULE.Hyper(*(jnp.asarray(x) for x in (lr, np.full(DRAWS, 0.9), eps, np.zeros(DRAWS), momentum)))
        ends = np.asarray(_ends(hyper, jnp.asarray(curvature)))
    predicted = formula(lr, momentum, eps, curvature)
    error = np.abs(np.sort(ends, axis=1) - np.stack([-predicted, predicted], axis=1)).max(axis=1) / lr
    return Evidence(
        ran=f"{DRAWS} runs of RMSprop of {STEPS} steps on ½hp² from 0.3 lr, alpha 0.9, momentum 0 and 0.5: half with "
        "eps = 0, half with eps so that the frozen threshold is at 0.5 to 2 of h; the last two parameters",
        residual=float(error.max()),
        bound=1e-8,
        derivation="largest distance from ±a over lr; the slowest mode, alpha or the frozen step, has shrunk below 1e-9 "
        "of its start after 2000 steps, which is empirical, and rounding is 1e-16 of a step",
        figures={"amplitude over lr, eps = 0": float(np.abs(ends[0, 0]) / lr[0])},
    )


LAWS = (
    Law(
        id="stability.rmsprop-cycle",
        title="RMSprop over its threshold",
        statement=r"p \to \pm\max\left(\frac{lr}{2(1+momentum)} - \frac{eps}{h},\; 0\right)",
        kind="exact",
        scope="RMSprop with constant lr on one parameter with curvature h, in the limit t → ∞; runs that reach the cycle "
        "of period two, as all that were tried do (alpha 0.9, momentum up to 0.5)",
        source="derived here from a step of 2a; checked by runs",
        formula=amplitude,
        check=_check,
        mutants={
            "lr": lambda lr, momentum, eps, curvature: np.maximum(lr / (1 + momentum) - eps / curvature, 0),
            "eps has no part": lambda lr, momentum, eps, curvature: lr / (2 * (1 + momentum)),
            "momentum has no part": lambda lr, momentum, eps, curvature: np.maximum(lr / 2 - eps / curvature, 0),
        },
    ),
)
