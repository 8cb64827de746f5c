"""Averaged SGD."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, REAL, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state, zeros
from ._terms import decayed
from .facts import LINEAR_STEPS, Facts


@hyperparameters
class ASGDHyper:
    """Hyperparameters of averaged SGD."""

    lr = Number(1e-2, NONNEGATIVE, "[param]^2/[loss]", "A new lr acts one step late, as in torch.")
    lambd = Number(1e-4, REAL, "[loss]/[param]^2")
    alpha = Number(0.75, REAL)
    t0 = Number(1e6, REAL, "1", "Until one step after t0 the average is the parameters themselves.")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")


@state
class ASGDState:
    """State of averaged SGD.

    ``eta`` and ``mu`` are the lr and the averaging weight of the *next* step, ``ax`` the average of the parameters;
    ``eta_used`` is the lr of the last step, kept beside torch's state to state the effective lr.
    """

    t = COUNT
    eta = Slot("[param]^2/[loss]", "scalar")
    mu = Slot("1", "scalar")
    ax = Slot("[param]")
    eta_used = Slot("[param]^2/[loss]", "scalar")


@register
def asgd() -> ArrayRule:
    r"""SGD with a decaying lr, a decoupled decay and an average of the parameters.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        p &\leftarrow p - lambd \cdot \eta_t \cdot p - \eta_t \cdot g \qquad \eta_1 = lr \\
        ax_t &= ax_{t-1} + \mu_t \cdot (p - ax_{t-1}) \qquad \mu_1 = 1 \\
        \eta_{t+1} &= lr / (1 + lambd \cdot lr \cdot t)^{alpha} \\
        \mu_{t+1} &= 1/\max(1, t - t0)

    Returns
    -------
    Rule
        Effective lr: ``η_t``. Direction: the gradient. ``lambd·η_t·p`` is decay. The average is ``state.ax``.

    Notes
    -----
    Against torch.optim.ASGD: the same where torch's default dtype is that of the parameters; torch keeps eta and mu in
    its default dtype. optax has no such rule.

    References
    ----------
    Polyak & Juditsky 1992; Bottou 2010, section 5.2, for eta; ``torch/optim/asgd.py`` (2.13), ``_single_tensor_asgd``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = asgd()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> hyper = rule.hyper(lr=0.5, lambd=0.0)
    >>> params, state = rule.step(hyper, params, rule.init(params), {"w": jnp.array([2.0, -2.0])})
    >>> params["w"].tolist()
    [0.0, 3.0]
    """

    def init(p: Array) -> ASGDState:
        s = zeros(ASGDState, p)
        return s._replace(mu=s.mu + 1)

    def step(h: ASGDHyper, p: Array, s: ASGDState, g: Array) -> tuple[Array, ASGDState]:
        eta = jnp.where(s.t == 0, h.lr, s.eta)
        p = p * (1 - h.lambd * eta) - eta * g
        t = (s.t + 1).astype(eta.dtype)
        kept = ASGDState(
            t=s.t + 1,
            eta=h.lr / (1 + h.lambd * h.lr * t) ** h.alpha,
            mu=1 / jnp.maximum(1, t - h.t0),
            ax=jnp.where(s.mu == 1, p, s.ax + (p - s.ax) * s.mu),
            eta_used=eta,
        )
        return p, kept

    def effective_lr(h: ASGDHyper, s: ASGDState) -> Array:
        return jnp.broadcast_to(s.eta_used, s.ax.shape)

    def direction(h: ASGDHyper, p: Array, s: ASGDState, g: Array) -> Array:
        return g

    def decay(h: ASGDHyper, p: Array, s: ASGDState, g: Array) -> Array:
        return decayed(h.lambd * s.eta_used, p)

    def steady(h: ASGDHyper, g: float) -> float | str:
        falls = h.lambd != 0 and h.alpha != 0
        return "the effective lr never settles, it falls as lr/(1 + lambd·lr·t)^alpha" if falls else h.lr

    def decay_factor(h: ASGDHyper) -> float | str:
        if h.lambd and h.alpha:
            return "its decay lambd·lr_t slows down with its lr, so that it has no one time scale"
        return abs(1 - h.lr * h.lambd - h.lr * h.weight_decay)

    return ArrayRule(
        Hyper=ASGDHyper,
        State=ASGDState,
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        coupled=True,
        facts=Facts(
            divides_by="nothing",
            memory="its lr falls over the run",
            gain=1.0,
            steady=steady,
            largest=LINEAR_STEPS,
            decay=decay_factor,
            lr_in_state=("eta", "eta_used"),
            counts=("t0", "t"),
        ),
    )
