r"""What RMSprop does over its threshold: no divergence, but a cycle; and the threshold of rules with a slow average.

At ±a the gradient is ±ha and √v is ha; a step of :math:`lr \cdot ha/(ha+eps)` must be 2a. So
:math:`a = lr/2 - eps/h`, which is above 0 exactly over the frozen threshold h/eps = 2/lr. With momentum the same argument
gives lr/(2(1+μ)) − eps/h, but that cycle need not attract: at momentum 0.5 and eps = 0 runs burst and fade in turn.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ...theory import stability
from ..law import Rng, Shown, law
from ..trajectory import descend, quadratic

STEPS = 2000
DRAWS = 8
RULE = rules.rmsprop(momentum_buffer=False)


FREE = (rules.schedule_free_sgd(), rules.schedule_free_adamw())


def _beside(p: Any, curvature: Any) -> Any:
    return curvature * (p - 1e-121) ** 2 / 2


def _growth(rule: Rule, hyper: Any, curvature: float) -> float:
    """Log growth of |p| over the last 300 of 600 steps, from an average so long that it stands still."""
    p = jnp.asarray(1e-120)
    state = rule.init(p)._replace(max_lr=jnp.asarray(hyper.lr), weight_sum=jnp.asarray(1e9), z=p)
    away = descend(rule, hyper, _beside, p, 600, curvature, state).params[1:] - 1e-121
    sizes = np.abs(away).reshape(6, -1).max(axis=1)
    return float(np.log(sizes[-1]) - np.log(sizes[2]))


@law(
    r"""exact stability.schedule-free: Schedule-free rules
    h < \frac{2}{(1 - beta1)\,lr}
    scope: schedule_free_sgd (coupled decay: of h + weight_decay), and schedule_free_adamw with the preconditioner held
    (less weight_decay), late in the run, when the average of the iterates stands still: gradients are taken at a point
    of which z makes 1 − beta1
    source: 2405.15682, algorithm 1; derived here from z' − x = (1 − (1 − beta1) lr h)(z − x); checked by runs
    ran: schedule-free SGD, and AdamW with eps ≫ √v, at three draws of lr and beta1 each: 600 steps about an average
    that stands still, at curvatures 2 % under and over
    why: a count of runs that grow under it or do not grow over it: 2 % beyond, distances from where gradients vanish
    grow by 1.04 a step, e^12 over 300 steps
    """,
    stability.schedule_free_threshold,
    {"2/lr": lambda lr, beta1: 2 / lr, "that of Adam": stability.adam_threshold},
)
def schedule_free(formula: Any, rng: Rng) -> Shown:
    misjudged = 0
    for rule in FREE:
        for _ in range(3):
            numbers = {"lr": float(np.exp(rng.uniform(-5, 0))), "beta1": rng.uniform(0.3, 0.95)}
            eps = {"eps": 0.25} if "eps" in rule.Hyper._fields else {}
            hyper = rule.hyper(**numbers, weight_decay=0.0, **eps)
            limit = formula(**numbers) * eps.get("eps", 1)
            misjudged += not _growth(rule, hyper, 0.98 * limit) <= 1e-3
            misjudged += not _growth(rule, hyper, 1.02 * limit) > 1
    yield misjudged
    yield {"runs": 12}


@law(
    r"""exact stability.rmsprop-cycle: RMSprop over its threshold
    p \to \pm\max\left(\frac{lr}{2} - \frac{eps}{h},\; 0\right)
    scope: RMSprop without momentum, constant lr, one parameter of curvature h, t → ∞, from any start but 0: with eps =
    0 it never settles, and never diverges. That the cycle attracts is seen in runs (alpha 0.5 to 0.99), not proven
    source: derived here from a step of 2a; checked by runs
    why: largest distance from ±a over lr; the slowest mode, alpha or the frozen step, has shrunk below 1e-9 of its
    start after 2000 steps, which is empirical, and rounding is 1e-16 of a step
    """,
    lambda lr, eps, curvature: np.maximum(lr / 2 - eps / curvature, 0),
    {
        "lr in place of lr/2": lambda lr, eps, curvature: np.maximum(lr - eps / curvature, 0),
        "eps has no part": lambda lr, eps, curvature: lr / 2,
    },
    bound=1e-8,
)
def rmsprop_cycle(formula: Any, rng: Rng) -> Shown:
    lr, curvature = np.exp(rng.uniform(-6, 0, DRAWS)), np.exp(rng.uniform(-2, 3, DRAWS))
    alpha = rng.uniform(0.5, 0.98, DRAWS)
    # Half with eps = 0, the others with a threshold below or above the curvature.
    eps = np.concatenate([np.zeros(4), [0.5, 0.8, 1.25, 2.0]]) * curvature * lr / 2
    ends = np.stack(
        [
            descend(RULE, RULE.hyper(lr=a, alpha=b, eps=c), quadratic, 0.3 * a, STEPS, h).params[-2:]
            for a, b, c, h in zip(lr, alpha, eps, curvature, strict=True)
        ]
    )
    predicted = formula(lr, eps, curvature)
    yield (
        f"{DRAWS} runs of RMSprop of {STEPS} steps on ½hp² from 0.3 lr, alpha from 0.5 to 0.98: four with eps = 0, four "
        "with eps so that the frozen threshold is at 0.5, 0.8, 1.25 and 2 of h; the last two parameters"
    )
    yield np.abs(np.sort(ends, axis=1) - np.stack([-predicted, predicted], axis=1)) / lr[:, None]
    yield {"amplitude over lr, eps = 0": float(np.abs(ends[0, 0]) / lr[0])}
