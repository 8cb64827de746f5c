r"""What RMSprop does over its threshold: no divergence, but a cycle; and the threshold of rules with a slow average.

At ±a the gradient is ±ha and √v is ha; a step of :math:`lr \cdot ha/(ha+eps)` must be 2a. So
:math:`a = lr/2 - eps/h`, which is above 0 exactly over the frozen threshold h/eps = 2/lr. With momentum the same argument
gives lr/(2(1+μ)) − eps/h, but that cycle need not attract: at momentum 0.5 and eps = 0 runs burst and fade in turn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...rules import Rule
from ...theory import stability
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


FREE = (rules.schedule_free_sgd(), rules.schedule_free_adamw())


@functools.partial(jax.jit, static_argnames="rule")
def _free_growth(rule: Rule, hyper: Any, curvature: Array) -> Array:
    """Log growth of |p| over the last 300 of 600 steps, from an average so long that it stands still."""
    p = jnp.asarray(1e-120)
    state = rule.init(p)._replace(max_lr=hyper.lr, weight_sum=jnp.asarray(1e9), z=p)

    def one(carry: Any, _: None) -> tuple[Any, Array]:
        p, state = rule.step(hyper, carry[0], carry[1], curvature * (carry[0] - 1e-121))
        return (p, state), jnp.abs(p - 1e-121)

    sizes = lax.scan(one, (p, state), length=600)[1].reshape(6, -1).max(axis=1)
    return jnp.log(sizes[-1]) - jnp.log(sizes[2])


def _check_free(formula: Callable[..., Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    misjudged = 0
    with jax.enable_x64(True):
        for rule in FREE:
            for _ in range(3):
                numbers = {"lr": float(np.exp(rng.uniform(-5, 0))), "beta1": rng.uniform(0.3, 0.95)}
                eps = 0.25 if "eps" in rule.Hyper._fields else None
                hyper = rule.hyper(**numbers, weight_decay=0.0, **({"eps": eps} if eps else {}))
                limit = formula(**numbers) * (eps or 1)
                misjudged += not float(_free_growth(rule, hyper, 0.98 * limit)) <= 1e-3
                misjudged += not float(_free_growth(rule, hyper, 1.02 * limit)) > 1
    return Evidence(
        ran="schedule-free SGD, and AdamW with eps ≫ √v, at three draws of lr and beta1 each: 600 steps about an average that stands "
        "still, at curvatures 2 % under and over",
        residual=float(misjudged),
        bound=0.0,
        derivation="a count of runs that grow under it or do not grow over it: 2 % beyond, distances from where gradients vanish grow by "
        "1.04 a step, e^12 over 300 steps",
        figures={"runs": 12},
    )


LAWS = (
    Law(
        id="stability.schedule-free",
        title="Schedule-free rules",
        statement=r"h < \frac{2}{(1 - beta1)\,lr}",
        kind="exact",
        scope="schedule_free_sgd (coupled decay: of h + weight_decay), and schedule_free_adamw with the preconditioner held (less "
        "weight_decay), late in the run, when the average of the iterates stands still: gradients are taken at a point of which z "
        "makes 1 − beta1",
        source="2405.15682, algorithm 1; derived here from z' − x = (1 − (1 − beta1) lr h)(z − x); checked by runs",
        formula=stability.schedule_free_threshold,
        check=_check_free,
        mutants={
            "2/lr": lambda lr, beta1: 2 / lr,
            "that of Adam": lambda lr, beta1: stability.adam_threshold(lr, beta1),
        },
    ),
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
