"""Schedule-free SGD."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, REAL, Range
from .closed_forms import schedule_free_threshold
from .facts import AVERAGE_FALLS, AVERAGE_STANDS, DECAY_OF_TWO, LINEAR_STEPS, Facts, Form
from .registry import register
from .rule import ArrayRule
from .schedule_free import Averaging
from .weight_decay import decayed


class ScheduleFreeSGDHyper(NamedTuple):
    """Numbers of schedule-free SGD."""

    lr: Any = 1.0
    beta1: Any = 0.9
    weight_decay: Any = 0.0
    weight_lr_power: Any = 2.0


class ScheduleFreeSGDState(NamedTuple):
    """State of schedule-free SGD.

    ``z`` takes the steps; ``max_lr`` and ``weight_sum`` are those of the average x, which is not stored. ``gain``, the
    sum of the weights of all gradients in ``x − z`` before the average took the last z, is kept to state the
    effective lr, ``pull`` that ``x − z`` itself, to state the direction.
    """

    t: Any
    z: Any
    max_lr: Any
    weight_sum: Any
    gain: Any
    pull: Any


@register
def schedule_free_sgd(*, maximize: bool = False) -> ArrayRule:
    r"""SGD that averages its iterates in place of decaying its lr.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        z_t &= z_{t-1} - lr \cdot g \\
        c_t &= w_t/\sum_{s \le t} w_s \qquad w_t = max\_lr_t^{weight\_lr\_power} \\
        x_t &= (1 - c_t) \cdot x_{t-1} + c_t \cdot z_t \\
        p &\leftarrow (1 - beta1) \cdot z_t + beta1 \cdot x_t \\
          &= p - (1 - beta1)\,lr \cdot g - beta1 \cdot c_t \cdot (x_{t-1} - z_t)

    Parameters
    ----------
    lr : scalar in [0, inf), [param]^2/[loss]
        Constant after a warm-up, which schedules give.
    beta1 : scalar in (0, 1), 1
    weight_decay : scalar in [0, inf), [loss]/[param]^2
        Coupled: added to the gradient, with p where gradients are taken.
    weight_lr_power : scalar, 1
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        x − z gathers past gradients with positive weights. Effective lr: ``(1−beta1)·lr + beta1·c·gain``, gain the sum
        of those weights. Direction: the step over it.

    Notes
    -----
    Evaluate with :func:`~lrtheory.rules.evaluation_params`, not with the parameters.
    Not in torch.optim. Against optax.contrib.schedule_free_sgd: the same, without its warm-up; parameters may not be
    changed between steps, where optax would take x from them anew.

    References
    ----------
    Defazio et al. 2024 (2405.15682), algorithm 1 without its warm-up; ``optax/contrib/_schedule_free.py`` (0.2.8).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = schedule_free_sgd()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([1.0, -1.0])})
    >>> params["w"].tolist()
    [0.5, 2.5]
    """

    def regularised(h: ScheduleFreeSGDHyper, g: Array, p: Array) -> Array:
        return (-g if maximize else g) + decayed(h.weight_decay, p)

    def init(p: Array) -> ScheduleFreeSGDState:
        scalar = jnp.zeros((), jnp.promote_types(p.dtype, jnp.float32))
        return ScheduleFreeSGDState(jnp.int32(0), jnp.copy(p), scalar, scalar, scalar, jnp.zeros_like(p))

    def share(s: ScheduleFreeSGDState) -> Array:
        return Averaging(s.max_lr, s.weight_sum).share

    def step(
        h: ScheduleFreeSGDHyper, p: Array, s: ScheduleFreeSGDState, g: Array
    ) -> tuple[Array, ScheduleFreeSGDState]:
        g = regularised(h, g, p)
        kept = 1 - share(s)
        average = Averaging(s.max_lr, s.weight_sum).after(h.lr, h.weight_lr_power)
        s = ScheduleFreeSGDState(
            t=s.t + 1,
            z=s.z - h.lr * g,
            max_lr=average.max_lr,
            weight_sum=average.weight_sum,
            gain=kept * s.gain + h.lr,
            pull=kept * s.pull + h.lr * g,
        )
        return p - update(h, s, g), s

    def update(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState, g: Array) -> Array:
        return (1 - h.beta1) * h.lr * g + h.beta1 * share(s) * s.pull

    def gain(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState) -> Array:
        return (1 - h.beta1) * h.lr + h.beta1 * share(s) * s.gain

    def effective_lr(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState) -> Array:
        return jnp.broadcast_to(gain(h, s), s.z.shape)

    def direction(h: ScheduleFreeSGDHyper, p: Array, s: ScheduleFreeSGDState, g: Array) -> Array:
        g = regularised(h, g, p)
        total = gain(h, s)
        return jnp.where(total == 0, g, update(h, s, g) / jnp.where(total == 0, 1, total))

    def threshold(h: ScheduleFreeSGDHyper, step: int | None) -> Form:
        return Form(schedule_free_threshold(h.lr, h.beta1), "2/(lr (1 − beta1))", AVERAGE_STANDS)

    return ArrayRule(
        name="schedule_free_sgd",
        Hyper=ScheduleFreeSGDHyper,
        State=ScheduleFreeSGDState,
        units={
            "lr": "[param]^2/[loss]",
            "beta1": "1",
            "weight_decay": "[loss]/[param]^2",
            "weight_lr_power": "1",
            "t": "1",
            "z": "[param]",
            "max_lr": "[param]^2/[loss]",
            "weight_sum": "1",
            "gain": "[param]^2/[loss]",
            "pull": "[param]",
        },
        ranges={
            "lr": NONNEGATIVE,
            "beta1": Range(0.0, 1.0, open_low=True, open_high=True),
            "weight_decay": NONNEGATIVE,
            "weight_lr_power": REAL,
        },
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        penalty=lambda h, p: decayed(h.weight_decay, p),
        facts=Facts(
            divides_by="nothing",
            memory=AVERAGE_FALLS,
            gain=lambda h: 1 - h.beta1 / 2,
            steady=lambda h, g: h.lr * (1 - h.beta1 / 2),
            largest=LINEAR_STEPS,
            decay=DECAY_OF_TWO,
            lr_in_state=("max_lr", "gain"),
            counts=("weight_sum", "gain", "t"),
            threshold=threshold,
        ),
    )
