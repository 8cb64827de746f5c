"""LAMB: Adam's update with a step proportional to each tensor's norm."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE
from .averages import average_of_squares, lerp, one_minus_power
from .facts import ADAM_AVERAGES, AS_LONG_AS_THE_PARAMETER, SCALED_DECAY, WHOLE_TENSOR, Facts, zero_tensor
from .registry import register
from .rule import ArrayRule
from .trust_ratio import trust_ratio
from .weight_decay import decayed


class LAMBHyper(NamedTuple):
    """Numbers of LAMB."""

    lr: Any = 1e-3
    beta1: Any = 0.9
    beta2: Any = 0.999
    eps: Any = 1e-6
    eps_root: Any = 0.0
    weight_decay: Any = 0.0


class LAMBState(NamedTuple):
    """State of LAMB: step count, averages of the gradient and of its square, and the last ratio of norms, which the
    effective lr needs.
    """

    t: Any
    m: Any
    v: Any
    trust: Any


@register
def lamb(*, maximize: bool = False) -> ArrayRule:
    r"""LAMB with bias correction.

    .. math::
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \qquad \hat m = m_t / (1 - beta1^t) \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \qquad \hat v = v_t / (1 - beta2^t) \\
        u &= \hat m/(\sqrt{\hat v + eps\_root} + eps) + weight\_decay \cdot p \\
        trust_t &= \|p\|/\|u\| \qquad (1 \;where\; either \;is\; 0) \\
        p &\leftarrow p - lr \cdot trust_t \cdot u

    Parameters
    ----------
    lr : scalar in [0, inf), 1
        Where a norm is 0 it acts as [param], so that a tensor that starts at zero has no law.
    beta1 : scalar in [0, 1), 1
    beta2 : scalar in [0, 1), 1
    eps : scalar in [0, inf), [loss]/[param]
    eps_root : scalar in [0, inf), [loss]^2/[param]^2
    weight_decay : scalar in [0, inf), 1/[param]
        Decoupled from the moments, inside the ratio of norms.
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        Effective lr: ``lr·trust/(√(v̂ + eps_root) + eps)``. Direction: ``m̂``. ``lr·trust·weight_decay·p`` is decay.

    Notes
    -----
    Not in torch.optim. Against optax.lamb: the same. The paper leaves the function of ‖p‖ open; this is the identity.

    References
    ----------
    You et al. 2020 (1904.00962), algorithm 2; ``optax/_src/alias.py`` (0.2.8), ``lamb``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = lamb()
    >>> params = {"w": jnp.array([3.0, 4.0])}
    >>> hyper = rule.hyper(lr=0.5, eps=0.0)
    >>> params, state = rule.step(hyper, params, rule.init(params), {"w": jnp.array([0.1, 0.1])})
    >>> [round(x, 4) for x in params["w"].tolist()]
    [1.2322, 2.2322]
    """

    def init(p: Array) -> LAMBState:
        scalar = jnp.zeros((), jnp.promote_types(p.dtype, jnp.float32))
        return LAMBState(jnp.int32(0), jnp.zeros_like(p), jnp.zeros_like(p), scalar)

    def m_hat(h: LAMBHyper, s: LAMBState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def root_v_hat(h: LAMBHyper, s: LAMBState) -> Array:
        return jnp.sqrt(s.v / one_minus_power(h.beta2, s.t) + h.eps_root)

    def step(h: LAMBHyper, p: Array, s: LAMBState, g: Array) -> tuple[Array, LAMBState]:
        g = -g if maximize else g
        s = LAMBState(s.t + 1, lerp(s.m, g, 1 - h.beta1), average_of_squares(s.v, g, h.beta2), s.trust)
        update = m_hat(h, s) / (root_v_hat(h, s) + h.eps) + decayed(h.weight_decay, p)
        s = s._replace(trust=trust_ratio(jnp.ones_like(h.lr), p, update, jnp.zeros_like(h.lr)))
        return p - h.lr * s.trust * update, s

    def effective_lr(h: LAMBHyper, s: LAMBState) -> Array:
        return h.lr * s.trust / (root_v_hat(h, s) + h.eps)

    def direction(h: LAMBHyper, p: Array, s: LAMBState, g: Array) -> Array:
        return m_hat(h, s)

    def decay(h: LAMBHyper, p: Array, s: LAMBState, g: Array) -> Array:
        return decayed(h.lr * s.trust * h.weight_decay, p)

    return ArrayRule(
        name="lamb",
        Hyper=LAMBHyper,
        State=LAMBState,
        units={
            "lr": "1",
            "beta1": "1",
            "beta2": "1",
            "eps": "[loss]/[param]",
            "eps_root": "[loss]^2/[param]^2",
            "weight_decay": "1/[param]",
            "t": "1",
            "m": "[loss]/[param]",
            "v": "[loss]^2/[param]^2",
            "trust": "[param]",
        },
        ranges={
            "lr": NONNEGATIVE,
            "beta1": DECAY,
            "beta2": DECAY,
            "eps": NONNEGATIVE,
            "eps_root": NONNEGATIVE,
            "weight_decay": NONNEGATIVE,
        },
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        scale=root_v_hat,
        facts=Facts(
            divides_by="size",
            memory=AS_LONG_AS_THE_PARAMETER,
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady="the effective lr is lr/(|g| + eps) times ‖p‖ over the norm of the update: it follows the tensor's norms",
            largest=f"{WHOLE_TENSOR}: the tensor's step has norm lr·‖p‖",
            decay=SCALED_DECAY,
            caveats=zero_tensor("lamb"),
        ),
    )
