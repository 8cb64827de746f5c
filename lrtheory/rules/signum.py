"""The sign of the gradient, or of its average: signSGD and signum."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import add, register
from ._rule import ArrayRule, Rule
from ._state import COUNT, Slot, state
from ._terms import decayed, lerp, one_minus_power, per_unit
from .facts import FOLLOWS_SIGNS, Facts, normalised_average


@hyperparameters
class SignumHyper:
    """Hyperparameters of signum; ``momentum`` is ``None`` where the option switched the average off."""

    lr = Number(1e-3, NONNEGATIVE, "[param]")
    momentum = Number(0.9, DECAY)
    weight_decay = Number(0.0, NONNEGATIVE, "1/[param]", "Decoupled.")


@state
class SignumState:
    """State of signum: step count and the average gradient; for signSGD the last gradient, to state the effective lr."""

    t = COUNT
    m = Slot("[loss]/[param]")


@register
def signum(*, averaged: bool = True) -> ArrayRule:
    r"""The sign of the average gradient; signSGD with ``averaged=False``.

    .. math::
        m_t &= momentum \cdot m_{t-1} + (1 - momentum) \cdot g \qquad (averaged=False:\; m_t = g) \\
        p &\leftarrow p - lr \cdot (sign(m_t) + weight\_decay \cdot p)

    Parameters
    ----------
    averaged : option
        ``False`` drops the number ``momentum``.

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

    def step(h: SignumHyper, p: Array, s: SignumState, g: Array) -> tuple[Array, SignumState]:
        s = SignumState(s.t + 1, lerp(s.m, g, 1 - h.momentum) if averaged else g)
        return p - h.lr * (jnp.sign(s.m) + decayed(h.weight_decay, p)), s

    def weight_sum(h: SignumHyper, s: SignumState) -> Array:
        return one_minus_power(h.momentum, s.t) if averaged else jnp.ones_like(h.lr)

    def effective_lr(h: SignumHyper, s: SignumState) -> Array:
        return per_unit(h.lr * weight_sum(h, s), s.m)

    def direction(h: SignumHyper, p: Array, s: SignumState, g: Array) -> Array:
        return s.m / weight_sum(h, s)

    return ArrayRule(
        Hyper=SignumHyper,
        State=SignumState,
        defaults={} if averaged else {"momentum": None},
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decoupled=True,
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
