"""LAMB: Adam's update with a step proportional to each tensor's norm."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, decayed, lerp, one_minus_power, trust_ratio
from .facts import ADAM_AVERAGES, AS_LONG_AS_THE_PARAMETER, SCALED_DECAY, WHOLE_TENSOR, Facts, zero_tensor


@hyperparameters
class LAMBHyper:
    """Hyperparameters of LAMB."""

    lr = Number(
        1e-3,
        NONNEGATIVE,
        "1",
        "Where a norm is 0 it acts as [param], so that a tensor that starts at zero has no law.",
    )
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-6, NONNEGATIVE, "[loss]/[param]")
    eps_root = Number(0.0, NONNEGATIVE, "[loss]^2/[param]^2")
    weight_decay = Number(0.0, NONNEGATIVE, "1/[param]", "Decoupled from the moments, inside the ratio of norms.")


@state
class LAMBState:
    """State of LAMB: step count, averages of the gradient and of its square, and the last ratio of norms, which the
    effective lr needs.
    """

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")
    trust = Slot("[param]", "scalar")


@register
def lamb() -> ArrayRule:
    r"""LAMB with bias correction.

    .. math::
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \qquad \hat m = m_t / (1 - beta1^t) \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \qquad \hat v = v_t / (1 - beta2^t) \\
        u &= \hat m/(\sqrt{\hat v + eps\_root} + eps) + weight\_decay \cdot p \\
        trust_t &= \|p\|/\|u\| \qquad (1 \;where\; either \;is\; 0) \\
        p &\leftarrow p - lr \cdot trust_t \cdot u

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

    def m_hat(h: LAMBHyper, s: LAMBState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def root_v_hat(h: LAMBHyper, s: LAMBState) -> Array:
        return jnp.sqrt(s.v / one_minus_power(h.beta2, s.t) + h.eps_root)

    def step(h: LAMBHyper, p: Array, s: LAMBState, g: Array) -> tuple[Array, LAMBState]:
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
        Hyper=LAMBHyper,
        State=LAMBState,
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
