"""The sign of the gradient, or of its average: signSGD and signum."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE
from .averages import lerp, one_minus_power
from .facts import FOLLOWS_SIGNS, Facts, normalised_average
from .lion import per_unit
from .registry import add, register
from .rule import ArrayRule, Rule
from .weight_decay import decayed


class SignumHyper(NamedTuple):
    """Numbers of signum; ``momentum`` is ``None`` where the option switched the average off."""

    lr: Any = 1e-3
    momentum: Any = 0.9
    weight_decay: Any = 0.0


class SignumState(NamedTuple):
    """State of signum: step count and the average gradient; for signSGD the last gradient, to state the effective lr."""

    t: Any
    m: Any


@register
def signum(*, averaged: bool = True, maximize: bool = False) -> ArrayRule:
    r"""The sign of the average gradient; signSGD with ``averaged=False``.

    .. math::
        m_t &= momentum \cdot m_{t-1} + (1 - momentum) \cdot g \qquad (averaged=False:\; m_t = g) \\
        p &\leftarrow p - lr \cdot (sign(m_t) + weight\_decay \cdot p)

    Parameters
    ----------
    lr : scalar in [0, inf), [param]
    momentum : scalar in [0, 1), 1
    weight_decay : scalar in [0, inf), 1/[param]
        Decoupled.
    averaged : option
        ``False`` drops the number ``momentum``.
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        Effective lr: ``lr·(1 − momentum^t)/|m|``, 0 where m is 0 and nothing moves: the step is lr whatever the
        gradient. Direction: ``m/(1 − momentum^t)``.

    Notes
    -----
    Not in torch.optim. Against optax.signum and optax.sign_sgd: the same; optax has no decay there.

    References
    ----------
    Bernstein et al. 2018 (1802.04434), algorithms 1 and 2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = signum()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].tolist()
    [0.5, 2.5]
    """

    def init(p: Array) -> SignumState:
        return SignumState(jnp.int32(0), jnp.zeros_like(p))

    def step(h: SignumHyper, p: Array, s: SignumState, g: Array) -> tuple[Array, SignumState]:
        g = -g if maximize else g
        s = SignumState(s.t + 1, lerp(s.m, g, 1 - h.momentum) if averaged else g)
        return p - h.lr * (jnp.sign(s.m) + decayed(h.weight_decay, p)), s

    def weight_sum(h: SignumHyper, s: SignumState) -> Array:
        return one_minus_power(h.momentum, s.t) if averaged else jnp.ones_like(h.lr)

    def effective_lr(h: SignumHyper, s: SignumState) -> Array:
        return per_unit(h.lr * weight_sum(h, s), s.m)

    def direction(h: SignumHyper, p: Array, s: SignumState, g: Array) -> Array:
        return s.m / weight_sum(h, s)

    def decay(h: SignumHyper, p: Array, s: SignumState, g: Array) -> Array:
        return decayed(h.lr * h.weight_decay, p)

    return ArrayRule(
        name="signum",
        Hyper=SignumHyper,
        State=SignumState,
        units={
            "lr": "[param]",
            "momentum": "1",
            "weight_decay": "1/[param]",
            "t": "1",
            "m": "[loss]/[param]",
        },
        ranges={"lr": NONNEGATIVE, "momentum": DECAY, "weight_decay": NONNEGATIVE},
        defaults={} if averaged else {"momentum": None},
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        facts=Facts(
            divides_by="size",
            memory=FOLLOWS_SIGNS,
            averages={"momentum": "gradients"},
            gain=1.0,
            steady=lambda h, g: h.lr / g,
            largest=lambda h, t: h.lr,
            sde=(lambda h: normalised_average(h, {"momentum": 1.0})) if averaged else None,
        ),
    )


def signsgd(*, maximize: bool = False) -> Rule:
    """signSGD: ``signum(averaged=False)``, the very same Rule."""
    return signum(averaged=False, maximize=maximize)


add("signsgd", signsgd)
