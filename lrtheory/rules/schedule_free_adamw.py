"""Schedule-free AdamW."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, REAL, Range
from .averages import average_of_squares, one_minus_power
from .closed_forms import HELD, adam_steady, schedule_free_threshold
from .facts import AVERAGE_FALLS, AVERAGE_STANDS, DECAY_OF_TWO, Facts, Form
from .registry import register
from .rule import ArrayRule
from .schedule_free import Averaging
from .weight_decay import decayed


class ScheduleFreeAdamWHyper(NamedTuple):
    """Numbers of schedule-free AdamW."""

    lr: Any = 2.5e-3
    beta1: Any = 0.9
    beta2: Any = 0.999
    eps: Any = 1e-8
    weight_decay: Any = 0.0
    weight_lr_power: Any = 2.0


class ScheduleFreeAdamWState(NamedTuple):
    """State of schedule-free AdamW.

    ``v`` averages squares, ``z`` takes the steps; ``max_lr`` and ``weight_sum`` are those of the average x, which is
    not stored. To state effective lr, direction and decay, ``x − z`` before the average took the last z is kept in two
    parts: ``pull`` from gradients, the sum of their weights being ``gain``, and ``decay_pull`` from weight decay.
    """

    t: Any
    v: Any
    z: Any
    max_lr: Any
    weight_sum: Any
    gain: Any
    pull: Any
    decay_pull: Any


@register
def schedule_free_adamw(*, maximize: bool = False) -> ArrayRule:
    r"""AdamW without momentum that averages its iterates in place of decaying its lr.

    .. math::
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \qquad \hat v = v_t / (1 - beta2^t) \\
        u &= g/(\sqrt{\hat v} + eps) + weight\_decay \cdot p \\
        z_t &= z_{t-1} - lr \cdot u \\
        c_t &= w_t/\sum_{s \le t} w_s \qquad w_t = max\_lr_t^{weight\_lr\_power} \\
        x_t &= (1 - c_t) \cdot x_{t-1} + c_t \cdot z_t \\
        p &\leftarrow (1 - beta1) \cdot z_t + beta1 \cdot x_t

    Parameters
    ----------
    lr : scalar in [0, inf), [param]
        Constant after a warm-up, which schedules give.
    beta1 : scalar in (0, 1), 1
    beta2 : scalar in [0, 1), 1
    eps : scalar in [0, inf), [loss]/[param]
    weight_decay : scalar in [0, inf), 1/[param]
        Decoupled, with p where gradients are taken.
    weight_lr_power : scalar, 1
    maximize : option
        Negates the gradient first.

    Returns
    -------
    Rule
        x − z gathers past normalised gradients, and past decay. Effective lr:
        ``(1−beta1)·lr/(√v̂ + eps) + beta1·c·gain``, gain the sum of the weights of the gradients in x − z. Direction: the
        gradients' part of the step over it. Decay: the rest of the step, past decay included.

    Notes
    -----
    Evaluate with :func:`~lrtheory.rules.evaluation_params`, not with the parameters.
    Not in torch.optim. Against optax.contrib.schedule_free_adamw: the same, without its warm-up; parameters may not be
    changed between steps, where optax would take x from them anew.

    References
    ----------
    Defazio et al. 2024 (2405.15682), algorithm 1 without its warm-up; ``optax/contrib/_schedule_free.py`` (0.2.8).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = schedule_free_adamw()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def init(p: Array) -> ScheduleFreeAdamWState:
        zero = jnp.zeros_like(p)
        scalar = jnp.zeros((), jnp.promote_types(p.dtype, jnp.float32))
        return ScheduleFreeAdamWState(jnp.int32(0), zero, jnp.copy(p), scalar, scalar, zero, zero, zero)

    def share(s: ScheduleFreeAdamWState) -> Array:
        return Averaging(s.max_lr, s.weight_sum).share

    def root_v_hat(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return jnp.sqrt(s.v / one_minus_power(h.beta2, s.t))

    def plain_lr(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return h.lr / (root_v_hat(h, s) + h.eps)

    def both(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState, own: Array, past: Array) -> Array:
        """The parameters' move: part of this step's own, and part of what x is behind z."""
        return (1 - h.beta1) * own + h.beta1 * share(s) * past

    def step(
        h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array
    ) -> tuple[Array, ScheduleFreeAdamWState]:
        g = -g if maximize else g
        kept = 1 - share(s)
        average = Averaging(s.max_lr, s.weight_sum).after(h.lr, h.weight_lr_power)
        s = s._replace(t=s.t + 1, v=average_of_squares(s.v, g, h.beta2))
        own_lr = plain_lr(h, s)
        own, own_decay = own_lr * g, decayed(h.lr * h.weight_decay, p)
        s = s._replace(
            z=s.z - (own + own_decay),
            max_lr=average.max_lr,
            weight_sum=average.weight_sum,
            gain=kept * s.gain + own_lr,
            pull=kept * s.pull + own,
            decay_pull=kept * s.decay_pull + own_decay,
        )
        return p - both(h, s, own + own_decay, s.pull + s.decay_pull), s

    def effective_lr(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return both(h, s, plain_lr(h, s), s.gain)

    def direction(h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array) -> Array:
        g = -g if maximize else g
        total = effective_lr(h, s)
        return jnp.where(total == 0, g, both(h, s, plain_lr(h, s) * g, s.pull) / jnp.where(total == 0, 1, total))

    def decay(h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array) -> Array:
        return both(h, s, decayed(h.lr * h.weight_decay, p), s.decay_pull)

    def threshold(h: ScheduleFreeAdamWHyper, step: int | None) -> Form:
        value = schedule_free_threshold(h.lr, h.beta1) - h.weight_decay
        return Form(value, "2/(lr (1 − beta1)) − weight_decay", f"{HELD}, and {AVERAGE_STANDS}")

    return ArrayRule(
        name="schedule_free_adamw",
        Hyper=ScheduleFreeAdamWHyper,
        State=ScheduleFreeAdamWState,
        units={
            "lr": "[param]",
            "beta1": "1",
            "beta2": "1",
            "eps": "[loss]/[param]",
            "weight_decay": "1/[param]",
            "weight_lr_power": "1",
            "t": "1",
            "v": "[loss]^2/[param]^2",
            "z": "[param]",
            "max_lr": "[param]",
            "weight_sum": "1",
            "gain": "[param]^2/[loss]",
            "pull": "[param]",
            "decay_pull": "[param]",
        },
        ranges={
            "lr": NONNEGATIVE,
            "beta1": Range(0.0, 1.0, open_low=True, open_high=True),
            "beta2": DECAY,
            "eps": NONNEGATIVE,
            "weight_decay": NONNEGATIVE,
            "weight_lr_power": REAL,
        },
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decay=decay,
        scale=root_v_hat,
        facts=Facts(
            divides_by="size",
            memory=AVERAGE_FALLS,
            averages={"beta2": "squares"},
            gain=lambda h: 1 - h.beta1 / 2,
            steady=lambda h, g: adam_steady(h, g, 1 - h.beta1 / 2),
            largest="no closed form is known for its two sequences",
            decay=DECAY_OF_TWO,
            lr_in_state=("max_lr", "gain"),
            counts=("weight_sum", "gain"),
            threshold=threshold,
        ),
    )
