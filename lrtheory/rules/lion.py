"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE
from .averages import lerp, one_minus_power
from .facts import FOLLOWS_SIGNS, Facts, normalised_average
from .registry import register
from .rule import ArrayRule
from .weight_decay import decayed


class LionHyper(NamedTuple):
    """Numbers of Lion."""

    lr: Any = 1e-4
    beta1: Any = 0.9
    beta2: Any = 0.99
    weight_decay: Any = 0.0


class LionState(NamedTuple):
    """State of Lion: the average ``m``, and ``c``, whose sign was followed; ``c`` is kept to state the effective lr,
    since ``m`` has moved on by then.
    """

    t: Any
    m: Any
    c: Any


@register
def lion(*, maximize: bool = False) -> ArrayRule:
    r"""Lion with decoupled weight decay: every coordinate moves by lr.

    .. math::
        c_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        p &\leftarrow p - lr \cdot (sign(c_t) + weight\_decay \cdot p) \\
        m_t &= beta2 \cdot m_{t-1} + (1 - beta2) \cdot g

    Parameters
    ----------
    lr : scalar in [0, inf), [param]
    beta1 : scalar in [0, 1), 1
    beta2 : scalar in [0, 1), 1
    weight_decay : scalar in [0, inf), 1/[param]
        Decoupled.
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        Effective lr: ``lr·W/|c|``, W = 1 − beta1·beta2^(t−1) the sum of the weights in c: the step is lr whatever the
        gradient, so the lr per unit of gradient falls as the gradient grows. 0 where c is 0 and nothing moves.
        Direction: ``c/W``.

    Notes
    -----
    Not in torch.optim. Against optax.lion: the same with the same numbers; optax's decay is 1e-3 by default.

    References
    ----------
    Chen et al. 2023 (2302.06675), algorithm 2, with the defaults of its published code.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = lion()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].tolist()
    [0.5, 2.5]
    """

    def init(p: Array) -> LionState:
        return LionState(jnp.int32(0), jnp.zeros_like(p), jnp.zeros_like(p))

    def step(h: LionHyper, p: Array, s: LionState, g: Array) -> tuple[Array, LionState]:
        g = -g if maximize else g
        s = LionState(s.t + 1, m=lerp(s.m, g, 1 - h.beta2), c=lerp(s.m, g, 1 - h.beta1))
        return p - h.lr * (jnp.sign(s.c) + decayed(h.weight_decay, p)), s

    def weight_sum(h: LionHyper, s: LionState) -> Array:
        before = jnp.where(s.t == 1, 0, one_minus_power(h.beta2, jnp.maximum(s.t - 1, 1)))
        return (1 - h.beta1) + h.beta1 * before

    def effective_lr(h: LionHyper, s: LionState) -> Array:
        return per_unit(h.lr * weight_sum(h, s), s.c)

    def direction(h: LionHyper, p: Array, s: LionState, g: Array) -> Array:
        return s.c / weight_sum(h, s)

    def decay(h: LionHyper, p: Array, s: LionState, g: Array) -> Array:
        return decayed(h.lr * h.weight_decay, p)

    return ArrayRule(
        name="lion",
        Hyper=LionHyper,
        State=LionState,
        units={
            "lr": "[param]",
            "beta1": "1",
            "beta2": "1",
            "weight_decay": "1/[param]",
            "t": "1",
            "m": "[loss]/[param]",
            "c": "[loss]/[param]",
        },
        ranges={"lr": NONNEGATIVE, "beta1": DECAY, "beta2": DECAY, "weight_decay": NONNEGATIVE},
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        facts=Facts(
            divides_by="size",
            memory=FOLLOWS_SIGNS,
            averages={"beta1": "gradients", "beta2": "gradients"},
            gain=1.0,
            steady=lambda h, g: h.lr / g,
            largest=lambda h, t: h.lr,
            # The latest gradient enters with 1 − beta1 and variance 1/κ: √κ keeps its share in the noise of the average.
            sde=lambda h: normalised_average(
                h,
                {"beta2": 1.0, "beta1": 0.5},
                "heuristic",
                "; the share of the latest gradient moves parameters √κ times as far",
            ),
        ),
    )


def per_unit(step: Array, gradient: Array) -> Array:
    """``step/|gradient|``, the effective lr of a rule that follows signs; 0 where the gradient is 0 and nothing moves."""
    size = jnp.abs(gradient)
    return jnp.where(size == 0, 0, step / jnp.where(size == 0, 1, size))
