"""Adamax: Adam with the largest decayed gradient in place of the root mean square."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import lerp, one_minus_power
from .closed_forms import adam_form, adam_steady, adamax_bound
from .facts import ADAM_AVERAGES, Facts


@hyperparameters
class AdamaxHyper:
    """Hyperparameters of Adamax."""

    lr = Number(2e-3, NONNEGATIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")


@state
class AdamaxState:
    """State of Adamax: step count, average gradient ``m`` and largest decayed gradient ``u``, eps included."""

    t = COUNT
    m = Slot("[loss]/[param]")
    u = Slot("[loss]/[param]")


@register
def adamax() -> ArrayRule:
    r"""Adamax, with eps inside the maximum.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        u_t &= \max(beta2 \cdot u_{t-1},\; |g| + eps) \\
        p &\leftarrow p - lr \cdot \frac{m_t}{1 - beta1^t} / u_t

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

    def m_hat(h: AdamaxHyper, s: AdamaxState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def step(h: AdamaxHyper, p: Array, s: AdamaxState, g: Array) -> tuple[Array, AdamaxState]:
        s = AdamaxState(s.t + 1, lerp(s.m, g, 1 - h.beta1), jnp.maximum(h.beta2 * s.u, jnp.abs(g) + h.eps))
        lr_t = h.lr / one_minus_power(h.beta1, s.t)  # numbers first: fewer roundings of the array
        return p - lr_t * (s.m / s.u), s

    def effective_lr(h: AdamaxHyper, s: AdamaxState) -> Array:
        return h.lr / s.u

    def direction(h: AdamaxHyper, p: Array, s: AdamaxState, g: Array) -> Array:
        return m_hat(h, s)

    return ArrayRule(
        Hyper=AdamaxHyper,
        State=AdamaxState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=True,
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
