r"""What RMSprop does over its threshold: no divergence, but a cycle.

At ±a the gradient is ±ha and √v is ha; a step of :math:`lr \cdot ha/(ha+eps)` must be 2a. So
:math:`a = lr/2 - eps/h`, which is above 0 exactly over the frozen threshold h/eps = 2/lr. With momentum the same argument
gives lr/(2(1+μ)) − eps/h, but that cycle need not attract: at momentum 0.5 and eps = 0 runs burst and fade in turn.
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
RULE = rules.rmsprop(momentum_buffer=False)


def amplitude(lr: Any, eps: Any, curvature: Any) -> Any:
    """lr/2 − eps/h, and 0 where that is negative: the run then settles at the minimum."""
    return np.maximum(lr / 2 - eps / curvature, 0)


@jax.jit
def _ends(hyper: Any, curvature: Array) -> Array:
    """The last two parameters of each run."""

    def run(hyper: Any, h: Array) -> Array:
        def one(carry: Any, _: None) -> tuple[Any, Array]:
            p, state = carry
            p, state = RULE.step(hyper, p, state, h * p)
            return (p, state), p

        first = 0.3 * hyper.lr
        return lax.scan(one, (first, RULE.init(first)), length=STEPS)[1][-2:]

    return jax.vmap(run)(hyper, curvature)


def _check(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    lr, curvature, alpha = (
        np.exp(rng.uniform(-6, 0, DRAWS)),
        np.exp(rng.uniform(-2, 3, DRAWS)),
        rng.uniform(0.5, 0.98, DRAWS),
    )
    # Half with eps = 0, the others with a threshold below or above the curvature.
    eps = np.concatenate([np.zeros(4), [0.5, 0.8, 1.25, 2.0]]) * curvature * lr / 2
    with jax.enable_x64(True):
        hyper = jax.tree.map(jnp.asarray, RULE.Hyper(lr, alpha, eps, np.zeros(DRAWS), None))
        ends = np.asarray(_ends(hyper, jnp.asarray(curvature)))
    predicted = formula(lr, eps, curvature)
    error = np.abs(np.sort(ends, axis=1) - np.stack([-predicted, predicted], axis=1)).max(axis=1) / lr
    return Evidence(
        ran=f"{DRAWS} runs of RMSprop of {STEPS} steps on ½hp² from 0.3 lr, alpha from 0.5 to 0.98: four with eps = 0, four "
        "with eps so that the frozen threshold is at 0.5, 0.8, 1.25 and 2 of h; the last two parameters",
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
        statement=r"p \to \pm\max\left(\frac{lr}{2} - \frac{eps}{h},\; 0\right)",
        kind="exact",
        scope="RMSprop without momentum, constant lr, one parameter of curvature h, t → ∞, from any start but 0: with eps = 0 "
        "it never settles, and never diverges. That the cycle attracts is seen in runs (alpha 0.5 to 0.99), not proven",
        source="derived here from a step of 2a; checked by runs",
        formula=amplitude,
        check=_check,
        mutants={
            "lr in place of lr/2": lambda lr, eps, curvature: np.maximum(lr - eps / curvature, 0),
            "eps has no part": lambda lr, eps, curvature: lr / 2,
        },
    ),
)
