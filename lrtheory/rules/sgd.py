"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import NONNEGATIVE, REAL, Number, hyperparameters, is_concrete
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import again, coupled_decay
from .closed_forms import (
    EXACT,
    gradient_descent_threshold,
    heavy_ball_threshold,
    nesterov_threshold,
    sgd_equilibrium,
    slowest_root,
    sum_gain,
    times,
)
from .facts import LINEAR_STEPS, NO_EQUILIBRIUM, BatchChange, Facts, Form


@hyperparameters
class SGDHyper:
    """Hyperparameters of SGD."""

    lr = Number(1e-3, NONNEGATIVE, "[param]^2/[loss]")
    momentum = Number(
        0.0,
        NONNEGATIVE,
        "1",
        "At 0 the gradient itself is used and the buffer is left alone, whatever the dampening.",
    )
    dampening = Number(0.0, REAL, "1", "The first gradient enters undamped.")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")


@state
class SGDState:
    """State of SGD: ``t`` gradients have entered ``buffer``, with weights that sum to ``weight``."""

    t = COUNT
    buffer = Slot("[loss]/[param]")
    weight = Slot("1", "scalar")


@register
def sgd(*, nesterov: bool = False) -> ArrayRule:
    r"""SGD with momentum, dampening, Nesterov's look-ahead and coupled weight decay.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        buffer_t &= momentum \cdot buffer_{t-1} + (1 - dampening) \cdot g \qquad buffer_1 = g \\
        weight_t &= momentum \cdot weight_{t-1} + (1 - dampening) \qquad\quad weight_1 = 1 \\
        p &\leftarrow p - lr \cdot buffer_t \qquad
            (nesterov:\; p - lr \cdot (g + momentum \cdot buffer_t))

    Parameters
    ----------
    nesterov : option
        Needs momentum > 0 and dampening 0.

    Returns
    -------
    Rule
        Effective lr: ``lr·weight_t``, rising to ``lr·(1−dampening)/(1−momentum)``; with nesterov
        ``lr·(1 + momentum·weight_t)``. Direction: the buffer (or the look-ahead) over its weight sum.

    Notes
    -----
    A non-finite gradient stays in the buffer for good, as in torch.
    Against torch.optim.SGD: the same, but a buffer is kept also at momentum 0, where torch has none.
    Against optax.sgd: optax's trace has no dampening; otherwise the same.

    References
    ----------
    ``torch/optim/sgd.py`` (2.13), ``_single_tensor_sgd``; Sutskever et al. 2013, eq. 1-2, for the momentum.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = sgd()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([2.0, -2.0])})
    >>> params["w"].tolist()
    [0.0, 3.0]
    """

    def step(h: SGDHyper, p: Array, s: SGDState, g: Array) -> tuple[Array, SGDState]:
        g, g_of_buffer = g + coupled_decay(h, p), g + coupled_decay(again(h, s.t), p)
        first = s.t == 0
        buffer = jnp.where(first, g_of_buffer, h.momentum * s.buffer + (1 - h.dampening) * g_of_buffer)
        weight = jnp.where(first, 1, h.momentum * s.weight + (1 - h.dampening))
        plain = h.momentum == 0
        kept = SGDState(
            jnp.where(plain, s.t, s.t + 1),
            jnp.where(plain, s.buffer, buffer),
            jnp.where(plain, s.weight, weight),
        )
        # From the buffer as it is kept: from the old one, each loop would need what the other overwrites.
        update = jnp.where(plain, g, g + h.momentum * kept.buffer if nesterov else kept.buffer)
        return p - h.lr * update, kept

    def gain(h: SGDHyper, s: SGDState) -> Array:
        """Weight sum of the update over all gradients so far."""
        momentum_gain = 1 + h.momentum * s.weight if nesterov else s.weight
        return jnp.where(h.momentum == 0, 1, momentum_gain)

    def effective_lr(h: SGDHyper, s: SGDState) -> Array:
        return jnp.broadcast_to(h.lr * gain(h, s), s.buffer.shape)

    def direction(h: SGDHyper, p: Array, s: SGDState, g: Array) -> Array:
        g = g + coupled_decay(h, p)
        update = jnp.where(h.momentum == 0, g, g + h.momentum * s.buffer if nesterov else s.buffer)
        return update / gain(h, s)

    def check(hyper: SGDHyper) -> None:
        if not nesterov:
            return
        for name, allowed in (("momentum", lambda x: x > 0), ("dampening", lambda x: x == 0)):
            value = getattr(hyper, name)
            if is_concrete(value) and not np.all(allowed(np.asarray(value))):
                raise ValueError(
                    f"sgd(nesterov=True): {name}={value}, but Nesterov needs momentum above 0 and dampening 0"
                )

    def threshold(h: SGDHyper, step: int | None) -> Form | str:
        if nesterov:
            return Form(nesterov_threshold(h.lr, h.momentum), "2(1 + momentum)/((1 + 2 momentum) lr)", EXACT)
        if not h.momentum:
            return Form(gradient_descent_threshold(h.lr), "2/lr", EXACT)
        if h.dampening >= 1:
            return "with dampening of 1 or more steps do not descend"
        form = "2(1 + momentum)/(lr (1 − dampening))"
        return Form(heavy_ball_threshold(h.lr, h.momentum, h.dampening), form, EXACT)

    def sde(h: SGDHyper) -> BatchChange:
        if np.all(np.asarray(h.momentum) == 0):
            return BatchChange({"lr": 1.0})
        # An averaging buffer (dampening = momentum) stays one: it is the gradient's mean, and lr alone is κ times as large.
        if np.all(np.asarray(h.dampening) == np.asarray(h.momentum)) and not nesterov:
            return BatchChange({"lr": 1.0}, {"momentum": 1.0, "dampening": 1.0})
        return BatchChange({"lr": 2.0}, {"momentum": 1.0}, {"buffer": -1.0, "weight": -1.0})

    def equilibrium(h: SGDHyper, gradient_norm: float, coordinates: int) -> tuple[float, float]:
        lr = h.lr if h.momentum == 0 else h.lr * (1 - h.dampening)
        return sgd_equilibrium(lr, h.weight_decay, h.momentum, gradient_norm)

    return ArrayRule(
        Hyper=SGDHyper,
        State=SGDState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=coupled_decay,
        check=check,
        facts=Facts(
            divides_by="nothing",
            memory=("buffer",),
            averages={"momentum": "gradients"},
            gain=lambda h: sum_gain(h.momentum, h.dampening, nesterov),
            steady=lambda h, g: times(h.lr, sum_gain(h.momentum, h.dampening, nesterov)),
            largest=LINEAR_STEPS,
            threshold=threshold,
            decay=lambda h: slowest_root(h.lr * h.weight_decay, h.momentum, h.dampening, nesterov),
            sde=sde,
            under_way=("buffer", "weight"),
            equilibrium=NO_EQUILIBRIUM if nesterov else equilibrium,
        ),
    )
