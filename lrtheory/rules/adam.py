"""Adam, AMSGrad and AdamW."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import add, register
from ._rule import ArrayRule, Rule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, decoupled_decay, lerp, one_minus_power, root_of_average
from .closed_forms import adam_bound, adam_form, adam_steady, adamw_equilibrium
from .facts import ADAM_AVERAGES, NO_EQUILIBRIUM, SQUARE_ROOT_RULE, BatchChange, Facts


@hyperparameters
class AdamHyper:
    """Hyperparameters of Adam."""

    lr = Number(1e-3, NONNEGATIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(
        0.0,
        NONNEGATIVE,
        "[loss]/[param]^2 coupled, 1/[param] decoupled",
        "Default 0; 1e-2 when decoupled, as in torch.optim.AdamW.",
    )


@state
class AdamState:
    """State of Adam: step count, averages of the gradient and of its square, and the largest ``v`` with amsgrad."""

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")
    v_max = Slot("[loss]^2/[param]^2")


@register
def adam(*, amsgrad: bool = False, decoupled: bool = False) -> ArrayRule:
    r"""Adam with bias correction; AdamW with ``decoupled=True``.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \qquad (coupled) \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \\
        \hat m &= m_t / (1 - beta1^t) \qquad \hat v = v_t / (1 - beta2^t) \\
        p &\leftarrow p - lr \cdot weight\_decay \cdot p \;(decoupled) - lr \cdot \hat m / (\sqrt{\hat v} + eps)

    With amsgrad ``v_max``, the largest ``v`` so far, takes the place of ``v``: the maximum first, then the correction.

    Parameters
    ----------
    amsgrad, decoupled : options

    Returns
    -------
    Rule
        Effective lr: ``lr/(√v̂ + eps)``. Direction: ``m̂``.

    Notes
    -----
    With eps = 0 a coordinate whose gradients were all zero gives 0/0 = nan, as in torch.
    Against torch.optim.Adam and AdamW: the same. ``Adam(decoupled_weight_decay=True)`` has decay 0 by default.
    Against optax.adam: the same in float64; optax.amsgrad corrects before taking the maximum.

    References
    ----------
    Kingma & Ba 2015 (1412.6980), algorithm 1; Loshchilov & Hutter 2019 (1711.05101), algorithm 2;
    Reddi et al. 2018 (1904.09237), algorithm 2; ``torch/optim/adam.py`` (2.13), ``_single_tensor_adam``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adam()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def root_v_hat(h: AdamHyper, s: AdamState) -> Array:
        largest_v = s.v_max if amsgrad else s.v
        return root_of_average(largest_v, one_minus_power(h.beta2, s.t))

    def step(h: AdamHyper, p: Array, s: AdamState, g: Array) -> tuple[Array, AdamState]:
        m = lerp(s.m, g, 1 - h.beta1)
        v = average_of_squares(s.v, g, h.beta2)
        v_max = jnp.maximum(s.v_max, v) if amsgrad else None
        s = AdamState(s.t + 1, m, v, v_max)
        lr_t = h.lr / one_minus_power(h.beta1, s.t)
        update = lr_t * (m / (root_v_hat(h, s) + h.eps))
        if decoupled:
            update = decoupled_decay(h, p) + update
        return p - update, s

    def effective_lr(h: AdamHyper, s: AdamState) -> Array:
        return h.lr / (root_v_hat(h, s) + h.eps)

    def direction(h: AdamHyper, p: Array, s: AdamState, g: Array) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def largest(h: AdamHyper, t: int | None) -> float | str:
        if amsgrad and h.beta1 > h.beta2:
            return "the bound with beta1 above beta2 is not known to be sharp; without amsgrad it is"
        return h.lr * adam_bound(h.beta1, h.beta2, t)

    def equilibrium(h: AdamHyper, gradient_norm: float, coordinates: int) -> tuple[float, float]:
        return adamw_equilibrium(h.lr, h.weight_decay, h.beta1, coordinates)

    def sde(h: AdamHyper) -> BatchChange:
        powers = {"lr": 0.5, "eps": -0.5} | ({"weight_decay": 0.5} if decoupled else {})
        source = SQUARE_ROOT_RULE + (", with decoupled weight_decay·√κ derived here" if decoupled else "")
        if amsgrad:
            source = "the rule of adam (2205.10287), which no one has derived for a maximum of averages: it grows with their noise"
        memories, state = {"beta1": 1.0, "beta2": 1.0}, {"v": -1.0, "v_max": -1.0}
        return BatchChange(powers, memories, state, ("t",), source, True, "heuristic" if amsgrad else "statistical")

    return ArrayRule(
        Hyper=AdamHyper,
        State=AdamState,
        defaults={"weight_decay": 1e-2} if decoupled else {},
        absent=() if amsgrad else ("v_max",),
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=not decoupled,
        decoupled=decoupled,
        scale=root_v_hat,
        facts=Facts(
            divides_by="size",
            memory=("m",),
            sizes=("v", "v_max"),
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady=adam_steady,
            largest=largest,
            threshold=lambda h, step: adam_form(h, decoupled),
            sde=sde,
            equilibrium=equilibrium if decoupled and not amsgrad else NO_EQUILIBRIUM,
        ),
    )


def adamw(*, amsgrad: bool = False, maximize: bool = False) -> Rule:
    """AdamW: ``adam(decoupled=True)``, the very same Rule."""
    return adam(amsgrad=amsgrad, decoupled=True, maximize=maximize)


add("adamw", adamw)
