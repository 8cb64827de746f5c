"""LARS: momentum with a step proportional to each tensor's norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE
from .closed_forms import sum_gain
from .facts import AS_LONG_AS_THE_PARAMETER, SCALED_DECAY, WHOLE_TENSOR, Facts, zero_tensor
from .registry import register
from .rule import ArrayRule
from .trust_ratio import trust_ratio
from .weight_decay import decayed


class LARSHyper(NamedTuple):
    """Numbers of LARS."""

    lr: Any = 1.0
    momentum: Any = 0.9
    weight_decay: Any = 0.0
    trust_coefficient: Any = 1e-3
    eps: Any = 0.0


class LARSState(NamedTuple):
    """State of LARS.

    ``buffer`` gathers scaled gradients, lr included; ``gain`` gathers the factors they were scaled with and ``factor``
    is the last of them, so that the effective lr can be stated.
    """

    t: Any
    buffer: Any
    gain: Any
    factor: Any


@register
def lars(*, nesterov: bool = False, maximize: bool = False) -> ArrayRule:
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
    lr : scalar in [0, inf), 1
        Where a norm is 0 it acts as [param]^2/[loss], so that a tensor that starts at zero has no law.
    momentum : scalar in [0, inf), 1
    weight_decay : scalar in [0, inf), [loss]/[param]^2
        Coupled: added to the gradient, inside the norm.
    trust_coefficient : scalar in [0, inf), 1
    eps : scalar in [0, inf), [loss]/[param]
        Added to the norm of the gradient.
    nesterov : option
    maximize : option
        Negates the gradient first.

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

    def regularised(h: LARSHyper, g: Array, p: Array) -> Array:
        return (-g if maximize else g) + decayed(h.weight_decay, p)

    def init(p: Array) -> LARSState:
        scalar = jnp.zeros((), jnp.promote_types(p.dtype, jnp.float32))
        return LARSState(jnp.int32(0), jnp.zeros_like(p), scalar, scalar)

    def step(h: LARSHyper, p: Array, s: LARSState, g: Array) -> tuple[Array, LARSState]:
        g = regularised(h, g, p)
        factor = h.lr * trust_ratio(h.trust_coefficient, p, g, h.eps)
        s = LARSState(s.t + 1, h.momentum * s.buffer + factor * g, h.momentum * s.gain + factor, factor)
        return p - (factor * g + h.momentum * s.buffer if nesterov else s.buffer), s

    def gain(h: LARSHyper, s: LARSState) -> Array:
        return s.factor + h.momentum * s.gain if nesterov else s.gain

    def effective_lr(h: LARSHyper, s: LARSState) -> Array:
        return jnp.broadcast_to(gain(h, s), s.buffer.shape)

    def direction(h: LARSHyper, p: Array, s: LARSState, g: Array) -> Array:
        g = regularised(h, g, p)
        update = s.factor * g + h.momentum * s.buffer if nesterov else s.buffer
        total = gain(h, s)
        return jnp.where(total == 0, g, update / jnp.where(total == 0, 1, total))

    return ArrayRule(
        name="lars",
        Hyper=LARSHyper,
        State=LARSState,
        units={
            "lr": "1",
            "momentum": "1",
            "weight_decay": "[loss]/[param]^2",
            "trust_coefficient": "1",
            "eps": "[loss]/[param]",
            "t": "1",
            "buffer": "[param]",
            "gain": "[param]^2/[loss]",
            "factor": "[param]^2/[loss]",
        },
        ranges=dict.fromkeys(LARSHyper._fields, NONNEGATIVE),
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=lambda h, p: decayed(h.weight_decay, p),
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
