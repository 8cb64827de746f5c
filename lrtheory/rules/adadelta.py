"""Adadelta."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Range
from .averages import average_of_squares
from .facts import Facts
from .registry import register
from .rule import ArrayRule
from .weight_decay import decayed


class AdadeltaHyper(NamedTuple):
    """Numbers of Adadelta."""

    lr: Any = 1.0
    rho: Any = 0.9
    eps: Any = 1e-6
    weight_decay: Any = 0.0


class AdadeltaState(NamedTuple):
    """State of Adadelta: averages of squared gradients and squared steps, and the last ``ratio`` of their roots, kept
    beside torch's state because the step's own square has entered ``acc_delta`` by the time E is asked for.
    """

    t: Any
    square_avg: Any
    acc_delta: Any
    ratio: Any


@register
def adadelta(*, maximize: bool = False) -> ArrayRule:
    r"""Adadelta: the step is the gradient times a ratio of running root mean squares.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        square\_avg_t &= rho \cdot square\_avg_{t-1} + (1 - rho) \cdot g^2 \\
        ratio_t &= \sqrt{acc\_delta_{t-1} + eps} / \sqrt{square\_avg_t + eps} \\
        \delta &= ratio_t \cdot g \\
        acc\_delta_t &= rho \cdot acc\_delta_{t-1} + (1 - rho) \cdot \delta^2 \\
        p &\leftarrow p - lr \cdot \delta

    Parameters
    ----------
    lr : scalar in [0, inf), [param]^2/[loss]
        The paper has none; at 1 the rule is invariant to no scale, since one eps serves both roots.
    rho : scalar in [0, 1], 1
    eps : scalar in [0, inf), [loss]^2/[param]^2
        Inside both roots: as √eps it sets the size of the first steps.
    weight_decay : scalar in [0, inf), [loss]/[param]^2
        Coupled: added to the gradient.
    maximize : option
        Negates the gradient first.

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

    def regularised(h: AdadeltaHyper, g: Array, p: Array) -> Array:
        return (-g if maximize else g) + decayed(h.weight_decay, p)

    def init(p: Array) -> AdadeltaState:
        zero = jnp.zeros_like(p)
        return AdadeltaState(jnp.int32(0), zero, zero, zero)

    def step(h: AdadeltaHyper, p: Array, s: AdadeltaState, g: Array) -> tuple[Array, AdadeltaState]:
        g = regularised(h, g, p)
        square_avg = average_of_squares(s.square_avg, g, h.rho)
        ratio = jnp.sqrt(s.acc_delta + h.eps) / jnp.sqrt(square_avg + h.eps)
        delta = ratio * g
        s = AdadeltaState(s.t + 1, square_avg, average_of_squares(s.acc_delta, delta, h.rho), ratio)
        return p - h.lr * delta, s

    def effective_lr(h: AdadeltaHyper, s: AdadeltaState) -> Array:
        return h.lr * s.ratio

    def direction(h: AdadeltaHyper, p: Array, s: AdadeltaState, g: Array) -> Array:
        return regularised(h, g, p)

    return ArrayRule(
        name="adadelta",
        Hyper=AdadeltaHyper,
        State=AdadeltaState,
        units={
            "lr": "[param]^2/[loss]",
            "rho": "1",
            "eps": "[loss]^2/[param]^2",
            "weight_decay": "[loss]/[param]^2",
            "t": "1",
            "square_avg": "[loss]^2/[param]^2",
            "acc_delta": "[loss]^2/[param]^2",
            "ratio": "1",
        },
        ranges={"lr": NONNEGATIVE, "rho": Range(0.0, 1.0), "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE},
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=lambda h, p: decayed(h.weight_decay, p),
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
