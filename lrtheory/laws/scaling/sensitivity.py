"""What eps costs when it is not rescaled, and where a loss scale that moves may be taken into the lr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...rules import adam, sgd
from ..law import Evidence, Law

STEPS = 20


def elasticity(alpha: Any, root_v: Any, eps: Any) -> Any:
    r""":math:`\partial \log|\Delta\theta| / \partial \log \alpha` of Adam's first step, at :math:`\sqrt{\hat v}` of the plain loss."""
    return eps / (alpha * root_v + eps)


def _check_elasticity(formula: Callable[[Any, Any, Any], Any], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    alpha, eps = 10.0 ** rng.uniform(-2, 2), 10.0 ** rng.uniform(-3, 0)
    with jax.enable_x64(True):
        g = jnp.asarray(rng.choice([-1, 1], 16) * 10.0 ** rng.uniform(-3, 3, 16))

        def log_step(log_alpha: Any) -> Any:
            p = jnp.zeros_like(g)
            moved, _ = RULE.step(RULE.hyper(eps=eps), p, RULE.init(p), jnp.exp(log_alpha) * g)
            return jnp.log(jnp.abs(moved))

        measured = np.asarray(jax.jacfwd(log_step)(jnp.log(alpha)))
    residual = np.max(np.abs(measured - formula(alpha, np.abs(np.asarray(g)), eps)))
    return Evidence(
        ran=f"Adam's first step on 16 gradients over six decades, α = {alpha:.3g}, eps = {eps:.3g}, differentiated in "
        "log α in float64",
        residual=float(residual),
        bound=1e-13,
        derivation="some 20 operations whose derivatives are at most 1, rounded by 1.1e-16 each, make 2e-15; times 50",
    )


RULE = adam()


class Placement(NamedTuple):
    """Factors of a moving loss scale by step: on the gradient that enters the buffer, and on the buffer that is applied."""

    inside: Any
    outside: Any


def inside_the_buffer(alphas: Any) -> Placement:
    """A buffer of lr·α_t·g_t, as optax's and Keras' RMSprop keep it, is what a moving loss scale amounts to."""
    return Placement(alphas, np.ones_like(alphas))


def _check_moving(formula: Callable[[Any], Placement], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    alphas = 10.0 ** rng.uniform(-1, 1, STEPS)
    grads = rng.normal(size=(STEPS, 4))
    rule = sgd()
    figures = {}
    with jax.enable_x64(True):
        for momentum in (0.9, 0.5):
            hyper, params = rule.hyper(lr=0.1, momentum=momentum), jnp.zeros(4)
            state, buffer, p = rule.init(params), np.zeros(4), np.zeros(4)
            inside, outside = formula(alphas)
            apart = 0.0
            step = jax.jit(rule.step)
            for t in range(STEPS):
                params, state = step(hyper, params, state, alphas[t] * grads[t])
                buffer = momentum * buffer + inside[t] * grads[t]
                p = p - 0.1 * outside[t] * buffer
                apart = max(apart, float(np.max(np.abs(np.asarray(params) - p))))
            figures[f"momentum {momentum}"] = apart
    return Evidence(
        ran=f"SGD with momentum 0.9 and 0.5 for {STEPS} steps on α_t·g_t, α_t drawn over two decades, against the same "
        "recursion on g_t",
        residual=max(figures.values()),
        bound=1e-12,
        derivation="parameters reach some 10; 20 steps of 4 roundings of 1.1e-16 make 9e-14; times 10",
        figures=figures,
    )


LAWS = (
    Law(
        id="scaling.eps-sensitivity",
        title="How much an eps that stays behind costs",
        statement=r"\frac{\partial \log|\Delta\theta_1|}{\partial \log \alpha} = \frac{eps}{\alpha\sqrt{\hat v} + eps}",
        kind="exact",
        scope="Adam and its kin without decay, first step, eps not rescaled, √v̂ of the plain loss. At most 1, near 0 where "
        "eps does not dominate: with eps rescaled it is 0.",
        source="derived here; checked by differentiating the rule",
        formula=elasticity,
        check=_check_elasticity,
        mutants={
            "without α": lambda alpha, root_v, eps: eps / (root_v + eps),
            "v in place of its root": lambda alpha, root_v, eps: eps / (alpha * root_v**2 + eps),
            "the other share": lambda alpha, root_v, eps: alpha * root_v / (alpha * root_v + eps),
        },
    ),
    Law(
        id="scaling.moving-loss-scale",
        title="A loss scale that moves is an lr inside the buffer",
        statement=r"b_t = \mu\, b_{t-1} + \alpha_t g_t,\quad \theta_t = \theta_{t-1} - lr\, b_t",
        kind="exact",
        scope="SGD. Without momentum α_t is an lr schedule lr·α_t. With momentum it is not: a scheduler changes the lr "
        "outside the buffer, and past gradients are then rescaled too. Adam: none, α_t changes the weights in both averages.",
        source="derived here; the same distinction as Goyal et al. 2017 (1706.02677), section 2.1, remark 2",
        formula=inside_the_buffer,
        check=_check_moving,
        mutants={
            "outside the buffer, as a scheduler": lambda alphas: Placement(np.ones_like(alphas), alphas),
            "the last step's α": lambda alphas: Placement(np.roll(alphas, 1), np.ones_like(alphas)),
        },
    ),
)
