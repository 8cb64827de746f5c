"""Rprop: steps whose size depends on the signs of the gradient alone."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, REAL, Number, Range, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from .facts import Facts


@hyperparameters
class RpropHyper:
    """Hyperparameters of Rprop: torch's ``etas`` and ``step_sizes`` are two numbers each."""

    lr = Number(1e-2, NONNEGATIVE, "[param]", "The first step size; what it is later plays no part.")
    eta_minus = Number(0.5, Range(0.0, 1.0, open_low=True, open_high=True))
    eta_plus = Number(1.2, Range(1.0, open_low=True))
    step_size_min = Number(1e-6, REAL, "[param]")
    step_size_max = Number(50.0, REAL, "[param]", "torch's ``step_sizes`` are the two, ``etas`` the two factors.")


@state
class RpropState:
    """State of Rprop: the gradient last followed (0 where its sign had turned) and the step per coordinate."""

    t = COUNT
    prev = Slot("[loss]/[param]")
    step_size = Slot("[param]")


@register
def rprop() -> ArrayRule:
    r"""Rprop without weight backtracking: where the sign turns the step shrinks and the coordinate rests.

    .. math::
        step\_size_t &= clip(step\_size_{t-1} \cdot
            \{eta\_plus, eta\_minus, 1\} \;for\; g \cdot prev_{t-1} \{>, <, =\} 0,\;
            step\_size\_min, step\_size\_max) \qquad step\_size_0 = lr \\
        prev_t &= 0 \;where\; g \cdot prev_{t-1} < 0, \; else \; g \\
        p &\leftarrow p - step\_size_t \cdot sign(prev_t)

    Returns
    -------
    Rule
        Effective lr: ``step_size/|prev|``, 0 where nothing moves. Direction: ``prev``, the gradient where it did not
        turn.

    Notes
    -----
    The gradient's size plays no part until its product with the last one underflows to 0.
    A nan gradient moves nothing, since torch's sign of nan is 0, but it stays in ``prev`` for one step.
    Against torch.optim.Rprop: the same. optax.rprop moves by the step decided one call earlier, so that its first call
    moves nothing, and leaves a step size outside its bounds while the product of signs is 0.

    References
    ----------
    Riedmiller & Braun 1993; Igel & Hüsken 2000, iRprop−; ``torch/optim/rprop.py`` (2.13), ``_single_tensor_rprop``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = rprop()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].tolist()
    [0.5, 2.5]
    """

    def step(h: RpropHyper, p: Array, s: RpropState, g: Array) -> tuple[Array, RpropState]:
        agreement = g * s.prev
        factor = jnp.where(agreement > 0, h.eta_plus, jnp.where(agreement < 0, h.eta_minus, 1))
        step_size = jnp.where(s.t == 0, h.lr, s.step_size) * factor
        step_size = jnp.minimum(jnp.maximum(step_size, h.step_size_min), h.step_size_max)
        prev = jnp.where(agreement < 0, 0, g)
        return p - sign(prev) * step_size, RpropState(s.t + 1, prev, step_size)

    def effective_lr(h: RpropHyper, s: RpropState) -> Array:
        size = jnp.abs(s.prev)
        return jnp.where(size > 0, s.step_size / jnp.where(size > 0, size, 1), 0)

    def direction(h: RpropHyper, p: Array, s: RpropState, g: Array) -> Array:
        return s.prev

    return ArrayRule(
        Hyper=RpropHyper,
        State=RpropState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        facts=Facts(
            divides_by="size",
            memory="it takes the sign of the gradient and adapts the step to it",
            gain=1.0,
            steady="the effective lr never settles: its step grows by eta_plus until the gradient's sign turns",
            largest=lambda h, t: h.step_size_max,
            no_batch_rule="it compares signs of successive gradients, which a minibatch turns at random. Nearest: use it on "
            "full batches, where there is no batch size to change",
            lr_in_state=("step_size",),
        ),
    )


def sign(x: Array) -> Array:
    """Sign with torch's value at nan, which is 0."""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)
