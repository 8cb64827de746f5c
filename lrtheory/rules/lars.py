"""LARS: momentum with a step proportional to each tensor's norm."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import trust_ratio
from .closed_forms import sum_gain
from .facts import AS_LONG_AS_THE_PARAMETER, SCALED_DECAY, WHOLE_TENSOR, Facts, zero_tensor


@hyperparameters
class LARSHyper:
    """Hyperparameters of LARS."""

    lr = Number(
        1.0,
        NONNEGATIVE,
        "1",
        "Where a norm is 0 it acts as [param]^2/[loss], so that a tensor that starts at zero has no law.",
    )
    momentum = Number(0.9, NONNEGATIVE)
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient, inside the norm.")
    trust_coefficient = Number(1e-3, NONNEGATIVE)
    eps = Number(0.0, NONNEGATIVE, "[loss]/[param]", "Added to the norm of the gradient.")


@state
class LARSState:
    """State of LARS.

    ``buffer`` gathers scaled gradients, lr included; ``gain`` gathers the factors they were scaled with and ``factor``
    is the last of them, so that the effective lr can be stated.
    """

    t = COUNT
    buffer = Slot("[param]")
    gain = Slot("[param]^2/[loss]", "scalar")
    factor = Slot("[param]^2/[loss]", "scalar")


@register
def lars(*, nesterov: bool = False) -> ArrayRule:
    r"""LARS, with the lr inside the momentum buffer.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        factor_t &= lr \cdot trust\_coefficient \cdot \|p\|/(\|g\| + eps) \qquad
            (lr \;where\; \|p\| \;or\; \|g\| \;is\; 0) \\
        buffer_t &= momentum \cdot buffer_{t-1} + factor_t \cdot g \\
        gain_t &= momentum \cdot gain_{t-1} + factor_t \\
        p &\leftarrow p - buffer_t \qquad (nesterov:\; p - momentum \cdot buffer_t - factor_t \cdot g)

    Parameters
    ----------
    nesterov : option

    Returns
    -------
    Rule
        Effective lr: ``gain_t`` (nesterov: ``factor_t + momentum·gain_t``), one number a tensor. Direction:
        ``buffer_t/gain_t``, or the look-ahead over its gain; the gradient while the gain is 0.

    Notes
    -----
    A tensor at zero takes one full step of lr·g.
    Not in torch.optim. Against optax.lars: the same; the paper adds ``weight_decay·‖p‖`` to the norm of the plain
    gradient, where optax takes the norm of the sum.

    References
    ----------
    You et al. 2017 (1708.03888), algorithm 1; ``optax/_src/alias.py`` (0.2.8), ``lars``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = lars()
    >>> params = {"w": jnp.array([3.0, 4.0])}
    >>> hyper = rule.hyper(lr=0.5, trust_coefficient=1.0)
    >>> params, state = rule.step(hyper, params, rule.init(params), {"w": jnp.array([0.0, 0.1])})
    >>> params["w"].round(5).tolist()
    [3.0, 1.5]
    """

    def step(h: LARSHyper, p: Array, s: LARSState, g: Array) -> tuple[Array, LARSState]:
        factor = h.lr * trust_ratio(h.trust_coefficient, p, g, h.eps)
        s = LARSState(s.t + 1, h.momentum * s.buffer + factor * g, h.momentum * s.gain + factor, factor)
        return p - (factor * g + h.momentum * s.buffer if nesterov else s.buffer), s

    def gain(h: LARSHyper, s: LARSState) -> Array:
        return s.factor + h.momentum * s.gain if nesterov else s.gain

    def effective_lr(h: LARSHyper, s: LARSState) -> Array:
        return jnp.broadcast_to(gain(h, s), s.buffer.shape)

    def direction(h: LARSHyper, p: Array, s: LARSState, g: Array) -> Array:
        update = s.factor * g + h.momentum * s.buffer if nesterov else s.buffer
        total = gain(h, s)
        return jnp.where(total == 0, g, update / jnp.where(total == 0, 1, total))

    return ArrayRule(
        Hyper=LARSHyper,
        State=LARSState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=True,
        facts=Facts(
            divides_by="size",
            memory=AS_LONG_AS_THE_PARAMETER,
            averages={"momentum": "gradients"},
            gain=lambda h: sum_gain(h.momentum, nesterov=nesterov),
            steady="the effective lr is lr·trust_coefficient·‖p‖/(‖g‖ + eps) times the gain: it follows the tensor's norms",
            largest=f"{WHOLE_TENSOR}: their ratio, not the gradient's size, bounds it",
            decay=SCALED_DECAY,
            lr_in_state=("buffer", "gain", "factor"),
            caveats=zero_tensor("lars"),
        ),
    )
