r"""Schedule-free SGD and AdamW.

Gradients are taken at the parameters :math:`y`; :math:`z` takes the base rule's steps, :math:`x` is the running
average of :math:`z` that is evaluated, and :math:`y = (1-beta1) z + beta1 \cdot x`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, REAL, Number, Range, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state, zeros
from ._terms import average_of_squares, decoupled_decay, one_minus_power, root_of_average
from .closed_forms import HELD, adam_steady, schedule_free_threshold
from .facts import AVERAGE_FALLS, AVERAGE_STANDS, DECAY_OF_TWO, LINEAR_STEPS, Facts, Form


def _share(s: Any) -> Array:
    """c, the last z's share of the average; 0 while every lr was 0."""
    return jnp.where(s.weight_sum == 0, 0, 1 / jnp.where(s.weight_sum == 0, 1, s.weight_sum))


def _weights(h: Any, s: Any) -> dict[str, Array]:
    """The average's weights with one more z, whose weight is the largest lr so far to ``weight_lr_power``.

    ``weight_sum`` is kept over the weight of the largest lr so far, so that no power of a lr is formed.
    """
    max_lr, power = jnp.maximum(s.max_lr, h.lr), h.weight_lr_power
    moving = max_lr > 0
    ratio = jnp.where(moving, s.max_lr / jnp.where(moving, max_lr, 1), 1)
    weight = jnp.where(moving | (power == 0), 1, 0)
    carried = jnp.where(power == 0, s.weight_sum, s.weight_sum * ratio**power)
    return {"max_lr": max_lr, "weight_sum": carried + weight}


def evaluation_params(hyper: Any, state: Any, params: Any) -> Any:
    """x, the averaged parameters that a schedule-free rule is evaluated and used with.

    Parameters
    ----------
    hyper, state
        Of :func:`~lrtheory.rules.schedule_free_sgd` or :func:`~lrtheory.rules.schedule_free_adamw`.
    params : pytree
        The parameters that gradients are taken at.

    Raises
    ------
    TypeError
        For the state of a rule that is not schedule-free.
    """
    if not hasattr(state, "z") or not hasattr(hyper, "beta1"):
        raise TypeError(f"evaluation_params takes the state of a schedule-free rule, not {type(state).__name__}")
    beta1 = hyper.beta1
    return jax.tree.map(lambda y, z: ((y - (1 - beta1) * z) / beta1).astype(y.dtype), params, state.z)


@hyperparameters
class ScheduleFreeSGDHyper:
    """Hyperparameters of schedule-free SGD."""

    lr = Number(1.0, NONNEGATIVE, "[param]^2/[loss]", "Constant after a warm-up, which schedules give.")
    beta1 = Number(0.9, Range(0.0, 1.0, open_low=True, open_high=True))
    weight_decay = Number(
        0.0,
        NONNEGATIVE,
        "[loss]/[param]^2",
        "Coupled: added to the gradient, with p where gradients are taken.",
    )
    weight_lr_power = Number(2.0, REAL)


@state
class ScheduleFreeSGDState:
    """State of schedule-free SGD.

    ``z`` takes the steps; ``max_lr`` and ``weight_sum`` are those of the average x, which is not stored. ``gain``, the
    sum of the weights of all gradients in ``x − z`` before the average took the last z, is kept to state the
    effective lr, ``pull`` that ``x − z`` itself, to state the direction.
    """

    t = COUNT
    z = Slot("[param]")
    max_lr = Slot("[param]^2/[loss]", "scalar")
    weight_sum = Slot("1", "scalar")
    gain = Slot("[param]^2/[loss]", "scalar")
    pull = Slot("[param]")


@register
def schedule_free_sgd() -> ArrayRule:
    r"""SGD that averages its iterates in place of decaying its lr.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        z_t &= z_{t-1} - lr \cdot g \\
        c_t &= w_t/\sum_{s \le t} w_s \qquad w_t = max\_lr_t^{weight\_lr\_power} \\
        x_t &= (1 - c_t) \cdot x_{t-1} + c_t \cdot z_t \\
        p &\leftarrow (1 - beta1) \cdot z_t + beta1 \cdot x_t \\
          &= p - (1 - beta1)\,lr \cdot g - beta1 \cdot c_t \cdot (x_{t-1} - z_t)

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

    def step(
        h: ScheduleFreeSGDHyper, p: Array, s: ScheduleFreeSGDState, g: Array
    ) -> tuple[Array, ScheduleFreeSGDState]:
        kept = 1 - _share(s)
        weights = _weights(h, s)
        s = ScheduleFreeSGDState(
            t=s.t + 1,
            z=s.z - h.lr * g,
            **weights,
            gain=kept * s.gain + h.lr,
            pull=kept * s.pull + h.lr * g,
        )
        return p - update(h, s, g), s

    def update(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState, g: Array) -> Array:
        return (1 - h.beta1) * h.lr * g + h.beta1 * _share(s) * s.pull

    def gain(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState) -> Array:
        return (1 - h.beta1) * h.lr + h.beta1 * _share(s) * s.gain

    def effective_lr(h: ScheduleFreeSGDHyper, s: ScheduleFreeSGDState) -> Array:
        return jnp.broadcast_to(gain(h, s), s.z.shape)

    def direction(h: ScheduleFreeSGDHyper, p: Array, s: ScheduleFreeSGDState, g: Array) -> Array:
        total = gain(h, s)
        return jnp.where(total == 0, g, update(h, s, g) / jnp.where(total == 0, 1, total))

    return ArrayRule(
        Hyper=ScheduleFreeSGDHyper,
        State=ScheduleFreeSGDState,
        init=lambda p: zeros(ScheduleFreeSGDState, p, z=jnp.copy(p)),
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=True,
        facts=Facts(
            divides_by="nothing",
            memory=AVERAGE_FALLS,
            gain=lambda h: 1 - h.beta1 / 2,
            steady=lambda h, g: h.lr * (1 - h.beta1 / 2),
            largest=LINEAR_STEPS,
            decay=DECAY_OF_TWO,
            threshold=lambda h, step: Form(
                schedule_free_threshold(h.lr, h.beta1), "2/(lr (1 − beta1))", AVERAGE_STANDS
            ),
            lr_in_state=("max_lr", "gain"),
            counts=("weight_sum", "gain", "t"),
        ),
    )


@hyperparameters
class ScheduleFreeAdamWHyper:
    """Hyperparameters of schedule-free AdamW."""

    lr = Number(2.5e-3, NONNEGATIVE, "[param]", "Constant after a warm-up, which schedules give.")
    beta1 = Number(0.9, Range(0.0, 1.0, open_low=True, open_high=True))
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(0.0, NONNEGATIVE, "1/[param]", "Decoupled, with p where gradients are taken.")
    weight_lr_power = Number(2.0, REAL)


@state
class ScheduleFreeAdamWState:
    """State of schedule-free AdamW.

    ``v`` averages squares, ``z`` takes the steps; ``max_lr`` and ``weight_sum`` are those of the average x, which is
    not stored. To state effective lr, direction and decay, ``x − z`` before the average took the last z is kept in two
    parts: ``pull`` from gradients, the sum of their weights being ``gain``, and ``decay_pull`` from weight decay.
    """

    t = COUNT
    v = Slot("[loss]^2/[param]^2")
    z = Slot("[param]")
    max_lr = Slot("[param]", "scalar")
    weight_sum = Slot("1", "scalar")
    gain = Slot("[param]^2/[loss]")
    pull = Slot("[param]")
    decay_pull = Slot("[param]")


@register
def schedule_free_adamw() -> ArrayRule:
    r"""AdamW without momentum that averages its iterates in place of decaying its lr.

    .. math::
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \qquad \hat v = v_t / (1 - beta2^t) \\
        u &= g/(\sqrt{\hat v} + eps) + weight\_decay \cdot p \\
        z_t &= z_{t-1} - lr \cdot u \\
        c_t &= w_t/\sum_{s \le t} w_s \qquad w_t = max\_lr_t^{weight\_lr\_power} \\
        x_t &= (1 - c_t) \cdot x_{t-1} + c_t \cdot z_t \\
        p &\leftarrow (1 - beta1) \cdot z_t + beta1 \cdot x_t

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

    def root_v_hat(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return root_of_average(s.v, one_minus_power(h.beta2, s.t))

    def plain_lr(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return h.lr / (root_v_hat(h, s) + h.eps)

    def both(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState, own: Array, past: Array) -> Array:
        """The parameters' move: part of this step's own, and part of what x is behind z."""
        return (1 - h.beta1) * own + h.beta1 * _share(s) * past

    def step(
        h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array
    ) -> tuple[Array, ScheduleFreeAdamWState]:
        kept = 1 - _share(s)
        weights = _weights(h, s)
        s = s._replace(t=s.t + 1, v=average_of_squares(s.v, g, h.beta2))
        own_lr = plain_lr(h, s)
        own, own_decay = own_lr * g, decoupled_decay(h, p)
        s = s._replace(
            z=s.z - (own + own_decay),
            **weights,
            gain=kept * s.gain + own_lr,
            pull=kept * s.pull + own,
            decay_pull=kept * s.decay_pull + own_decay,
        )
        return p - both(h, s, own + own_decay, s.pull + s.decay_pull), s

    def effective_lr(h: ScheduleFreeAdamWHyper, s: ScheduleFreeAdamWState) -> Array:
        return both(h, s, plain_lr(h, s), s.gain)

    def direction(h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array) -> Array:
        total = effective_lr(h, s)
        return jnp.where(total == 0, g, both(h, s, plain_lr(h, s) * g, s.pull) / jnp.where(total == 0, 1, total))

    def decay(h: ScheduleFreeAdamWHyper, p: Array, s: ScheduleFreeAdamWState, g: Array) -> Array:
        return both(h, s, decoupled_decay(h, p), s.decay_pull)

    return ArrayRule(
        Hyper=ScheduleFreeAdamWHyper,
        State=ScheduleFreeAdamWState,
        init=lambda p: zeros(ScheduleFreeAdamWState, p, z=jnp.copy(p)),
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
            threshold=lambda h, step: Form(
                schedule_free_threshold(h.lr, h.beta1) - h.weight_decay,
                "2/(lr (1 − beta1)) − weight_decay",
                f"{HELD}, and {AVERAGE_STANDS}",
            ),
            lr_in_state=("max_lr", "gain"),
            counts=("weight_sum", "gain"),
        ),
    )
