"""Adan: Adam with an average of gradient differences as Nesterov's look-ahead."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, decayed, lerp, one_minus_power
from .closed_forms import HELD, adam_steady, adan_threshold
from .facts import Facts, Form


@hyperparameters
class AdanHyper:
    """Hyperparameters of Adan; the betas are decay rates, one minus the paper's."""

    lr = Number(1e-3, NONNEGATIVE, "[param]")
    beta1 = Number(0.98, DECAY)
    beta2 = Number(0.92, DECAY)
    beta3 = Number(0.99, DECAY)
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    eps_root = Number(0.0, NONNEGATIVE, "[loss]^2/[param]^2")
    weight_decay = Number(0.0, NONNEGATIVE, "1/[param]", "Decoupled.")


@state
class AdanState:
    """State of Adan: averages ``m`` of the gradient, ``v`` of its change and ``n`` of the squared look-ahead, and the
    last gradient.
    """

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]/[param]")
    n = Slot("[loss]^2/[param]^2")
    g_last = Slot("[loss]/[param]")


@register
def adan(*, proximal: bool = True) -> ArrayRule:
    r"""Adan with bias correction.

    .. math::
        \Delta &= g - g\_last \qquad (0 \;at\; t = 1) \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot \Delta \\
        n_t &= beta3 \cdot n_{t-1} + (1 - beta3) \cdot (g + beta2 \cdot \Delta)^2 \\
        u &= \frac{m_t/(1 - beta1^t) + beta2 \cdot v_t/(1 - beta2^t)}{\sqrt{n_t/(1 - beta3^t) + eps\_root} + eps} \\
        p &\leftarrow (p - lr \cdot u)/(1 + lr \cdot weight\_decay) \qquad
            (proximal=False:\; p - lr \cdot u - lr \cdot weight\_decay \cdot p)

    Parameters
    ----------
    proximal : option
        The paper's decay, which divides; ``False`` for that of AdamW.

    Returns
    -------
    Rule
        Effective lr: ``lr/(√(n̂ + eps_root) + eps)``, over ``1 + lr·weight_decay`` when proximal. Direction:
        ``m̂ + beta2·v̂``, whose weights sum to 1 (those of the differences to 0).

    Notes
    -----
    Not in torch.optim. optax.adan 0.2.8 weighs the differences by ``1 − beta2`` where the paper and its code have
    ``beta2`` (there the paper's β₂ is one minus this one): the two agree at beta2 = 1/2 only. Its decay is not
    proximal and its eps_root 1e-8.

    References
    ----------
    Xie et al. 2022 (2208.06677), algorithm 1, with the bias corrections and defaults of its published code.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adan()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def look_ahead(h: AdanHyper, s: AdanState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t) + h.beta2 * (s.v / one_minus_power(h.beta2, s.t))

    def root_n_hat(h: AdanHyper, s: AdanState) -> Array:
        return jnp.sqrt(s.n / one_minus_power(h.beta3, s.t) + h.eps_root)

    def shrinkage(h: AdanHyper) -> Array:
        return 1 + h.lr * h.weight_decay if proximal else jnp.ones_like(h.lr)

    def step(h: AdanHyper, p: Array, s: AdanState, g: Array) -> tuple[Array, AdanState]:
        change = jnp.where(s.t == 0, 0, g - s.g_last)
        s = AdanState(
            t=s.t + 1,
            m=lerp(s.m, g, 1 - h.beta1),
            v=lerp(s.v, change, 1 - h.beta2),
            n=average_of_squares(s.n, g + h.beta2 * change, h.beta3),
            g_last=g,
        )
        update = h.lr * (look_ahead(h, s) / (root_n_hat(h, s) + h.eps))
        if proximal:
            return (p - update) / shrinkage(h), s
        return p * (1 - h.lr * h.weight_decay) - update, s

    def effective_lr(h: AdanHyper, s: AdanState) -> Array:
        return h.lr / shrinkage(h) / (root_n_hat(h, s) + h.eps)

    def direction(h: AdanHyper, p: Array, s: AdanState, g: Array) -> Array:
        return look_ahead(h, s)

    def decay(h: AdanHyper, p: Array, s: AdanState, g: Array) -> Array:
        return decayed(h.lr * h.weight_decay / shrinkage(h), p)

    def threshold(h: AdanHyper, step: int | None) -> Form:
        value = adan_threshold(h.lr, h.beta1, h.beta2, h.weight_decay, proximal)
        gain = "((1−beta1)/(1+beta1) + 2 beta2 (1−beta2)/(1+beta2))"
        return Form(value, f"(2 {'+' if proximal else '−'} lr weight_decay)/(lr {gain})", HELD)

    return ArrayRule(
        Hyper=AdanHyper,
        State=AdanState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        scale=root_n_hat,
        facts=Facts(
            divides_by="size",
            memory=("m", "v", "g_last"),
            sizes=("n",),
            averages={"beta1": "gradients", "beta2": "gradients", "beta3": "squares"},
            gain=1.0,
            steady=lambda h, g: adam_steady(h, g) / (1 + h.lr * h.weight_decay if proximal else 1),
            largest="no closed form is known with its gradient differences",
            threshold=threshold,
        ),
    )
