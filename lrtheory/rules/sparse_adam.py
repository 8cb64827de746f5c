"""SparseAdam: Adam on the slices that a sparse gradient names."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, POSITIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._sparse import put, take
from ._state import COUNT, Slot, state
from ._terms import one_minus_power
from .closed_forms import adam_steady
from .facts import ADAM_AVERAGES, Facts


@hyperparameters
class SparseAdamHyper:
    """Hyperparameters of SparseAdam."""

    lr = Number(1e-3, POSITIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-8, POSITIVE, "[loss]/[param]", "Added to the uncorrected root: Adam's eps over ``√(1 − beta2^t)``.")


@state
class SparseAdamState:
    """State of SparseAdam: step count, averages of the gradient and of its square, each as of the last time its slice
    was named; ``weight``, the sum of the weights in ``m``, is kept beside torch's state to state the direction.
    """

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")
    weight = Slot("1")


@register
def sparse_adam() -> ArrayRule:
    r"""SparseAdam: one step count for the parameter, moments and parameters of the named slices alone.

    .. math::
        m &\leftarrow m + (1 - beta1)(g - m) \qquad v \leftarrow v + (1 - beta2)(g^2 - v) \\
        p &\leftarrow p - lr \cdot \frac{\sqrt{1 - beta2^t}}{1 - beta1^t} \cdot m/(\sqrt v + eps)
            \qquad (named\; slices\; only)

    Returns
    -------
    Rule
        Takes gradients as :class:`~lrtheory.rules.SparseGradient` only. Effective lr:
        ``lr·√(1−beta2^t)/(1−beta1^t)·weight/(√v + eps)``. t counts all steps, so that of a slice which is not named again
        changes with the corrections alone (at the default betas 1 at t = 1, 0.484 at 10, 0.976 at 100 of what it was,
        where eps does not count); 0 for one that never was. Direction: ``m/weight``, 0 for slices that were not named and did not move.

    Notes
    -----
    The bias corrections count all steps: a slice named for the first time at a late t moves by lr·(1−beta1)/√(1−beta2)
    times the sign of its gradient, 3.2·lr by default. Its ``weight`` says so: the mean gradient is m/weight, not m̂.
    A gradient without any place advances t and nothing else.
    Against torch.optim.SparseAdam: the same. optax has no such rule.

    References
    ----------
    ``torch/optim/_functional.py`` (2.13), ``sparse_adam``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory.rules import SparseGradient
    >>> rule = sparse_adam()
    >>> params = {"w": jnp.array([[1.0], [2.0]])}
    >>> grads = {"w": SparseGradient(jnp.array([[1]]), jnp.array([[-0.1]]), (2, 1))}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), grads)
    >>> [round(x, 4) for x in params["w"].ravel().tolist()]
    [1.0, 2.5]
    """

    def lr_t(h: SparseAdamHyper, t: Array) -> Array:
        return h.lr * jnp.sqrt(one_minus_power(h.beta2, t)) / one_minus_power(h.beta1, t)

    def step(h: SparseAdamHyper, p: Array, s: SparseAdamState, g: Any) -> tuple[Array, SparseAdamState]:
        slots, values = g.coalesced()
        m, v, weight = (take(field, slots, values) for field in (s.m, s.v, s.weight))
        m = m + (1 - h.beta1) * (values - m)
        v = v + (1 - h.beta2) * (values * values - v)
        weight = weight + (1 - h.beta1) * (1 - weight)
        t = s.t + 1
        moved = take(p, slots, values) - lr_t(h, t) * (m / (jnp.sqrt(v) + h.eps))
        kept = SparseAdamState(t, put(s.m, slots, m), put(s.v, slots, v), put(s.weight, slots, weight))
        return put(p, slots, moved), kept

    def effective_lr(h: SparseAdamHyper, s: SparseAdamState) -> Array:
        return lr_t(h, s.t) * s.weight / (jnp.sqrt(s.v) + h.eps)

    def direction(h: SparseAdamHyper, p: Array, s: SparseAdamState, g: Any) -> Array:
        slots, values = g.coalesced()
        mean = take(s.m, slots, values) / take(s.weight, slots, values)
        return put(jnp.zeros_like(p), slots, mean)

    return ArrayRule(
        Hyper=SparseAdamHyper,
        State=SparseAdamState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        scale=lambda h, s: jnp.sqrt(s.v),
        sparse=True,
        facts=Facts(
            divides_by="size",
            memory="it takes sparse gradients; on a coordinate that always has one it is adam",
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady=adam_steady,
            largest="bias corrections count all steps but averages only those that named the slice: a slice first named "
            "late moves by lr·(1−beta1)/√(1−beta2), and the bound depends on which steps named it",
        ),
    )
