"""Adadelta."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import FRACTION, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares
from .facts import Facts


@hyperparameters
class AdadeltaHyper:
    """Hyperparameters of Adadelta."""

    lr = Number(
        1.0,
        NONNEGATIVE,
        "[param]^2/[loss]",
        "The paper has none; at 1 the rule is invariant to no scale, since one eps serves both roots.",
    )
    rho = Number(0.9, FRACTION)
    eps = Number(
        1e-6,
        NONNEGATIVE,
        "[loss]^2/[param]^2",
        "Inside both roots: as √eps it sets the size of the first steps.",
    )
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")


@state
class AdadeltaState:
    """State of Adadelta: averages of squared gradients and squared steps, and the last ``ratio`` of their roots, kept
    beside torch's state because the step's own square has entered ``acc_delta`` by the time E is asked for.
    """

    t = COUNT
    square_avg = Slot("[loss]^2/[param]^2")
    acc_delta = Slot("[loss]^2/[param]^2")
    ratio = Slot("1")


@register
def adadelta() -> ArrayRule:
    r"""Adadelta: the step is the gradient times a ratio of running root mean squares.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        square\_avg_t &= rho \cdot square\_avg_{t-1} + (1 - rho) \cdot g^2 \\
        ratio_t &= \sqrt{acc\_delta_{t-1} + eps} / \sqrt{square\_avg_t + eps} \\
        \delta &= ratio_t \cdot g \\
        acc\_delta_t &= rho \cdot acc\_delta_{t-1} + (1 - rho) \cdot \delta^2 \\
        p &\leftarrow p - lr \cdot \delta

    Returns
    -------
    Rule
        Effective lr: ``lr·ratio_t``. Direction: the gradient.

    Notes
    -----
    With eps = 0 nothing ever moves: ``acc_delta`` starts at 0.
    Against torch.optim.Adadelta: the same. Against optax.adadelta: the same with the same numbers.

    References
    ----------
    Zeiler 2012 (1212.5701), algorithm 1; ``torch/optim/adadelta.py`` (2.13), ``_single_tensor_adadelta``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adadelta()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(eps=1e-2), params, rule.init(params), {"w": jnp.array([3.0, -3.0])})
    >>> [round(x, 4) for x in params["w"].tolist()]
    [0.6855, 2.3145]
    """

    def step(h: AdadeltaHyper, p: Array, s: AdadeltaState, g: Array) -> tuple[Array, AdadeltaState]:
        square_avg = average_of_squares(s.square_avg, g, h.rho)
        ratio = jnp.sqrt(s.acc_delta + h.eps) / jnp.sqrt(square_avg + h.eps)
        delta = ratio * g
        s = AdadeltaState(s.t + 1, square_avg, average_of_squares(s.acc_delta, delta, h.rho), ratio)
        return p - h.lr * delta, s

    def effective_lr(h: AdadeltaHyper, s: AdadeltaState) -> Array:
        return h.lr * s.ratio

    def direction(h: AdadeltaHyper, p: Array, s: AdadeltaState, g: Array) -> Array:
        return g

    return ArrayRule(
        Hyper=AdadeltaHyper,
        State=AdadeltaState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=True,
        scale=lambda h, s: s.square_avg,  # eps is added to the square
        facts=Facts(
            divides_by="size",
            memory="its lr follows the ratio of two running sizes, which moves with the run",
            averages={"rho": "squares"},
            gain=1.0,
            steady=lambda h, g: h.lr,  # its steps grow until the ratio of the two roots is 1
            largest="steps may grow by √(1 + rho) a step, since past steps set the next one's size; no bound holds for all",
            no_batch_rule="its lr multiplies a ratio of its own steps to gradients, which settles anew at each batch size. "
            "Nearest: keep the hyperparameters and tune lr",
        ),
    )
