"""Adamax: Adam with the largest decayed gradient in place of the root mean square."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE
from .averages import lerp, one_minus_power
from .closed_forms import adam_form, adam_steady, adamax_bound
from .facts import ADAM_AVERAGES, Facts
from .registry import register
from .rule import ArrayRule
from .weight_decay import decayed


class AdamaxHyper(NamedTuple):
    """Numbers of Adamax."""

    lr: Any = 2e-3
    beta1: Any = 0.9
    beta2: Any = 0.999
    eps: Any = 1e-8
    weight_decay: Any = 0.0


class AdamaxState(NamedTuple):
    """State of Adamax: step count, average gradient ``m`` and largest decayed gradient ``u``, eps included."""

    t: Any
    m: Any
    u: Any


@register
def adamax(*, maximize: bool = False) -> ArrayRule:
    r"""Adamax, with eps inside the maximum.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        u_t &= \max(beta2 \cdot u_{t-1},\; |g| + eps) \\
        p &\leftarrow p - lr \cdot \frac{m_t}{1 - beta1^t} / u_t

    Parameters
    ----------
    lr : scalar in [0, inf), [param]
    beta1 : scalar in [0, 1), 1
    beta2 : scalar in [0, 1), 1
    eps : scalar in [0, inf), [loss]/[param]
    weight_decay : scalar in [0, inf), [loss]/[param]^2
        Coupled: added to the gradient.
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        Effective lr: ``lr/u_t``. Direction: ``m_t/(1 − beta1^t)``.

    Notes
    -----
    With eps = 0 a coordinate whose gradients were all zero gives 0/0 = nan, as in torch.
    Against torch.optim.Adamax: the same. Against optax.adamax: the same, eps inside the maximum too.

    References
    ----------
    Kingma & Ba 2015 (1412.6980), algorithm 2; ``torch/optim/adamax.py`` (2.13), ``_single_tensor_adamax``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adamax()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def regularised(h: AdamaxHyper, g: Array, p: Array) -> Array:
        return (-g if maximize else g) + decayed(h.weight_decay, p)

    def init(p: Array) -> AdamaxState:
        return AdamaxState(jnp.int32(0), jnp.zeros_like(p), jnp.zeros_like(p))

    def m_hat(h: AdamaxHyper, s: AdamaxState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def step(h: AdamaxHyper, p: Array, s: AdamaxState, g: Array) -> tuple[Array, AdamaxState]:
        g = regularised(h, g, p)
        s = AdamaxState(s.t + 1, lerp(s.m, g, 1 - h.beta1), jnp.maximum(h.beta2 * s.u, jnp.abs(g) + h.eps))
        lr_t = h.lr / one_minus_power(h.beta1, s.t)  # numbers first: fewer roundings of the array
        return p - lr_t * (s.m / s.u), s

    def effective_lr(h: AdamaxHyper, s: AdamaxState) -> Array:
        return h.lr / s.u

    def direction(h: AdamaxHyper, p: Array, s: AdamaxState, g: Array) -> Array:
        return m_hat(h, s)

    return ArrayRule(
        name="adamax",
        Hyper=AdamaxHyper,
        State=AdamaxState,
        units={
            "lr": "[param]",
            "beta1": "1",
            "beta2": "1",
            "eps": "[loss]/[param]",
            "weight_decay": "[loss]/[param]^2",
            "t": "1",
            "m": "[loss]/[param]",
            "u": "[loss]/[param]",
        },
        ranges={"lr": NONNEGATIVE, "beta1": DECAY, "beta2": DECAY, "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE},
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=lambda h, p: decayed(h.weight_decay, p),
        scale=lambda h, s: s.u - h.eps,
        facts=Facts(
            divides_by="size",
            memory=("m",),
            sizes=("u",),
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady=adam_steady,
            largest=lambda h, t: h.lr * adamax_bound(h.beta1, h.beta2, t),
            threshold=lambda h, step: adam_form(h),
        ),
    )
