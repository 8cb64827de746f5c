"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import decayed, lerp, one_minus_power, per_unit
from .facts import FOLLOWS_SIGNS, Facts, normalised_average


@hyperparameters
class LionHyper:
    """Hyperparameters of Lion."""

    lr = Number(1e-4, NONNEGATIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.99, DECAY)
    weight_decay = Number(0.0, NONNEGATIVE, "1/[param]", "Decoupled.")


@state
class LionState:
    """State of Lion: the average ``m``, and ``c``, whose sign was followed; ``c`` is kept to state the effective lr,
    since ``m`` has moved on by then.
    """

    t = COUNT
    m = Slot("[loss]/[param]")
    c = Slot("[loss]/[param]")


@register
def lion() -> ArrayRule:
    r"""Lion with decoupled weight decay: every coordinate moves by lr.

    .. math::
        c_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        p &\leftarrow p - lr \cdot (sign(c_t) + weight\_decay \cdot p) \\
        m_t &= beta2 \cdot m_{t-1} + (1 - beta2) \cdot g

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

    def step(h: LionHyper, p: Array, s: LionState, g: Array) -> tuple[Array, LionState]:
        s = LionState(s.t + 1, m=lerp(s.m, g, 1 - h.beta2), c=lerp(s.m, g, 1 - h.beta1))
        return p - h.lr * (jnp.sign(s.c) + decayed(h.weight_decay, p)), s

    def weight_sum(h: LionHyper, s: LionState) -> Array:
        before = jnp.where(s.t == 1, 0, one_minus_power(h.beta2, jnp.maximum(s.t - 1, 1)))
        return (1 - h.beta1) + h.beta1 * before

    def effective_lr(h: LionHyper, s: LionState) -> Array:
        return per_unit(h.lr * weight_sum(h, s), s.c)

    def direction(h: LionHyper, p: Array, s: LionState, g: Array) -> Array:
        return s.c / weight_sum(h, s)

    return ArrayRule(
        Hyper=LionHyper,
        State=LionState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decoupled=True,
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
