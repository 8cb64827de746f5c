"""RMSprop, with momentum and centring."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import again, average_of_squares, coupled_decay, lerp
from .closed_forms import HELD, centered_rmsprop_bound, heavy_ball_threshold, over, rmsprop_bound, sum_gain
from .facts import SQUARE_ROOT_RULE, BatchChange, Facts, Form


@hyperparameters
class RMSpropHyper:
    """Hyperparameters of RMSprop; ``momentum`` is ``None`` where the option switched the buffer off."""

    lr = Number(1e-2, NONNEGATIVE, "[param]")
    alpha = Number(0.99, NONNEGATIVE, "1", "torch accepts values of 1 and more, which are no average.")
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")
    momentum = Number(0.0, NONNEGATIVE, "1", "At 0 the buffer is left alone.")


@state
class RMSpropState:
    """State of RMSprop.

    ``v`` averages squares, ``g_avg`` gradients (centered), ``buffer`` gathers normalised gradients, and ``gain`` the
    factors they were normalised with, so that ``buffer/gain`` is a weighted mean of gradients.
    """

    t = COUNT
    v = Slot("[loss]^2/[param]^2")
    g_avg = Slot("[loss]/[param]")
    buffer = Slot("1")
    gain = Slot("[param]/[loss]")


@register
def rmsprop(*, centered: bool = False, momentum_buffer: bool = True) -> ArrayRule:
    r"""RMSprop without bias correction, eps outside the root.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g^2 \\
        g\_avg_t &= alpha \cdot g\_avg_{t-1} + (1 - alpha) \cdot g \qquad (centered) \\
        scale_t &= \sqrt{v_t} \qquad (centered:\; \sqrt{v_t - g\_avg_t^2}) \\
        buffer_t &= momentum \cdot buffer_{t-1} + g/(scale_t + eps) \\
        gain_t &= momentum \cdot gain_{t-1} + 1/(scale_t + eps) \\
        p &\leftarrow p - lr \cdot buffer_t

    Parameters
    ----------
    centered : option
    momentum_buffer : option
        ``False`` drops the two momentum arrays and the number ``momentum``, for runs without it.

    Returns
    -------
    Rule
        Effective lr: ``lr·gain_t``, which is ``lr/(√v + eps)`` without momentum. Direction: ``buffer_t/gain_t``,
        which is the gradient without momentum.

    Notes
    -----
    Centred, ``v − g_avg²`` can round below zero under a constant gradient and gives nan, as in torch.
    Against torch.optim.RMSprop: the same; ``gain`` is kept beside torch's state to state the effective lr.
    Against optax.rmsprop: alpha 0.9 by default, eps inside the root unless ``eps_in_sqrt=False``, lr inside the buffer.

    References
    ----------
    Tieleman & Hinton 2012, lecture 6.5; Graves 2013 (1308.0850), eq. 38-45, for the centred form;
    ``torch/optim/rmsprop.py`` (2.13), ``_single_tensor_rmsprop``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = rmsprop()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.05), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def scale(h: RMSpropHyper, s: RMSpropState) -> Array:
        return jnp.sqrt(s.v - s.g_avg * s.g_avg) if centered else jnp.sqrt(s.v)

    def step(h: RMSpropHyper, p: Array, s: RMSpropState, g: Array) -> tuple[Array, RMSpropState]:
        g, g_of_averages = g + coupled_decay(h, p), g + coupled_decay(again(h, s.t), p)
        s = s._replace(
            t=s.t + 1,
            v=average_of_squares(s.v, g_of_averages, h.alpha),
            g_avg=lerp(s.g_avg, g_of_averages, 1 - h.alpha) if centered else None,
        )
        denominator = scale(h, s) + h.eps
        normalised = g / denominator
        if not momentum_buffer:
            return p - h.lr * normalised, s
        plain = h.momentum == 0
        buffer = h.momentum * s.buffer + normalised
        kept = s._replace(
            buffer=jnp.where(plain, s.buffer, buffer),
            gain=jnp.where(plain, s.gain, h.momentum * s.gain + 1 / denominator),
        )
        return p - h.lr * jnp.where(plain, normalised, kept.buffer), kept

    def effective_lr(h: RMSpropHyper, s: RMSpropState) -> Array:
        plain = h.lr / (scale(h, s) + h.eps)
        return jnp.where(h.momentum == 0, plain, h.lr * s.gain) if momentum_buffer else plain

    def direction(h: RMSpropHyper, p: Array, s: RMSpropState, g: Array) -> Array:
        g = g + coupled_decay(h, p)
        return jnp.where(h.momentum == 0, g, s.buffer / s.gain) if momentum_buffer else g

    def gain(h: RMSpropHyper) -> float | str:
        return sum_gain(h.momentum or 0.0)

    def steady(h: RMSpropHyper, g: float) -> float | str:
        if h.alpha >= 1:
            return f"with alpha={h.alpha:g} the squares are summed, not averaged: E never settles"
        found = gain(h)
        return found if isinstance(found, str) else over(h.lr * found, (0.0 if centered else g) + h.eps)

    def largest(h: RMSpropHyper, t: int | None) -> float | str:
        if not centered:
            return h.lr * rmsprop_bound(h.alpha, h.momentum or 0.0, t)
        if h.momentum:
            return "with momentum no sharp bound is known, and for all steps there is none"
        return h.lr * centered_rmsprop_bound(h.alpha, t)

    def threshold(h: RMSpropHyper, step: int | None) -> Form:
        return Form(heavy_ball_threshold(h.lr, h.momentum or 0.0), "2(1 + momentum)/lr", HELD)

    def sde(h: RMSpropHyper) -> BatchChange:
        # A centered v is of the noise alone already; an uncentered one is where noise dominates.
        if h.momentum is None or np.all(np.asarray(h.momentum) == 0):
            powers, state, memories = {"lr": 0.5, "eps": -0.5}, {"v": -1.0}, {"alpha": 1.0}
            source = (
                "the rule of rmsprop (2205.10287), which no one has derived for a deviation"
                if centered
                else SQUARE_ROOT_RULE
            )
            exactness = "heuristic" if centered else "statistical"
            return BatchChange(powers, memories, state, ("t",), source, not centered, exactness)
        state = {"v": -1.0, "buffer": -0.5, "gain": -0.5}
        return BatchChange({"lr": 1.5, "eps": -0.5}, {"alpha": 1.0, "momentum": 1.0}, state, ("t",), "", True)

    return ArrayRule(
        Hyper=RMSpropHyper,
        State=RMSpropState,
        absent=(() if centered else ("g_avg",)) + (() if momentum_buffer else ("buffer", "gain")),
        defaults={} if momentum_buffer else {"momentum": None},
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=coupled_decay,
        scale=scale,
        facts=Facts(
            divides_by="deviation" if centered else "size",
            memory=("buffer",) if momentum_buffer else (),
            sizes=("v",),
            averages={"momentum": "gradients", "alpha": "squares"},
            gain=gain,
            steady=steady,
            largest=largest,
            threshold=threshold,
            sde=sde,
        ),
    )
