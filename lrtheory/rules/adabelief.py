"""AdaBelief: Adam normalised by the gradient's distance from its average."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, following, lerp, one_minus_power, root_of_average
from .closed_forms import HELD, adam_form, over
from .facts import ADAM_AVERAGES, Facts, Form


@hyperparameters
class AdaBeliefHyper:
    """Hyperparameters of AdaBelief."""

    lr = Number(1e-3, NONNEGATIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-16, NONNEGATIVE, "[loss]/[param]")
    eps_root = Number(
        1e-16,
        NONNEGATIVE,
        "[loss]^2/[param]^2",
        "Gathered in ``v``, where it grows to ``eps_root/(1 − beta2)``.",
    )


@state
class AdaBeliefState:
    """State of AdaBelief: step count, average gradient, average square of the distance from it."""

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")


@register
def adabelief(*, nesterov: bool = False) -> ArrayRule:
    r"""AdaBelief, eps_root entering the average at every step.

    .. math::
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \qquad \hat m = m_t / (1 - beta1^t) \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot (g - m_t)^2 + eps\_root \qquad \hat v = v_t/(1 - beta2^t) \\
        \hat m &\leftarrow beta1 \cdot m_t/(1 - beta1^{t+1}) + (1 - beta1) \cdot g/(1 - beta1^t)
            \qquad (nesterov) \\
        p &\leftarrow p - lr \cdot \hat m / (\sqrt{\hat v} + eps)

    Parameters
    ----------
    nesterov : option

    Returns
    -------
    Rule
        Effective lr: ``lr/(√v̂ + eps)``; with nesterov times the sum W of the weights in m̂. Direction: ``m̂``, over W.

    Notes
    -----
    A constant gradient is no surprise: v falls to eps_root alone and the effective lr is bounded by it only.
    Not in torch.optim. Against optax.adabelief: the same.

    References
    ----------
    Zhuang et al. 2020 (2010.07468), algorithm 2; ``optax/_src/transform.py`` (0.2.8), ``scale_by_belief``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adabelief()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.45), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> [round(x, 4) for x in params["w"].tolist()]
    [0.5, 2.5]
    """

    def m_hat(h: AdaBeliefHyper, s: AdaBeliefState, g: Array) -> Array:
        correction = one_minus_power(h.beta1, s.t)
        if not nesterov:
            return s.m / correction
        return h.beta1 * (s.m / one_minus_power(h.beta1, following(s.t))) + (1 - h.beta1) * (g / correction)

    def weight_sum(h: AdaBeliefHyper, s: AdaBeliefState) -> Array:
        correction = one_minus_power(h.beta1, s.t)
        if not nesterov:
            return jnp.ones_like(correction)
        return h.beta1 * (correction / one_minus_power(h.beta1, following(s.t))) + (1 - h.beta1) / correction

    def root_v_hat(h: AdaBeliefHyper, s: AdaBeliefState) -> Array:
        return root_of_average(s.v, one_minus_power(h.beta2, s.t))

    def step(h: AdaBeliefHyper, p: Array, s: AdaBeliefState, g: Array) -> tuple[Array, AdaBeliefState]:
        m = lerp(s.m, g, 1 - h.beta1)
        s = AdaBeliefState(s.t + 1, m, average_of_squares(s.v, g - m, h.beta2) + h.eps_root)
        denominator = root_v_hat(h, s) + h.eps
        if nesterov:
            return p - h.lr * (m_hat(h, s, g) / denominator), s
        lr_t = h.lr / one_minus_power(h.beta1, s.t)  # numbers first: fewer roundings of the array
        return p - lr_t * (s.m / denominator), s

    def effective_lr(h: AdaBeliefHyper, s: AdaBeliefState) -> Array:
        return h.lr * weight_sum(h, s) / (root_v_hat(h, s) + h.eps)

    def direction(h: AdaBeliefHyper, p: Array, s: AdaBeliefState, g: Array) -> Array:
        return m_hat(h, s, g) / weight_sum(h, s)

    def threshold(h: AdaBeliefHyper, step: int | None) -> Form:
        if not nesterov:
            return adam_form(h)
        value = 2 * (1 + h.beta1) / (h.lr * (1 - h.beta1) * (1 + 2 * h.beta1))
        return Form(value, "2(1 + beta1)/(lr (1 − beta1)(1 + 2 beta1))", HELD)

    return ArrayRule(
        Hyper=AdaBeliefHyper,
        State=AdaBeliefState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        scale=root_v_hat,
        facts=Facts(
            divides_by="deviation",
            memory=("m",),
            sizes=("v",),
            averages=ADAM_AVERAGES,
            gain=1.0,
            # A constant gradient is no surprise: eps_root alone is gathered in v.
            steady=lambda h, g: over(h.lr, math.sqrt(h.eps_root / (1 - h.beta2)) + h.eps),
            largest="a gradient that does not change leaves eps and eps_root alone to bound the step",
            threshold=threshold,
        ),
    )
