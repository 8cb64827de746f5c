"""The cyclical lr: triangles between two levels, with a momentum that goes the other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from .anneal import ratio
from .power import Gamma, gamma_of, power
from .schedule import (
    NONNEGATIVE,
    POSITIVE,
    Schedule,
    as_count,
    as_float,
    choice,
    number,
    pytree,
    register,
    static,
)

MODES = ("triangular", "triangular2", "exp_range")


@pytree
class Cyclic(Schedule):
    """lr and momentum of a cyclical policy."""

    base_lr: Any
    max_lr: Any
    step_size_up: Any
    step_size_down: Any
    gamma: Gamma
    base_momentum: Any
    max_momentum: Any
    mode: str = static("triangular")
    scale_fn: Callable[[Array], Array] | None = static(None)
    scale_mode: str = static("cycle")

    def lr_at(self, t: Array) -> Array:
        """See :func:`cyclic`."""
        base, highest = as_float(self.base_lr), as_float(self.max_lr)
        return base + (highest - base) * self._height(t)

    def momentum(self, t: Any) -> Array:
        """The momentum (beta1 of Adam-like rules) in force after ``t`` scheduler steps."""
        base, highest = as_float(self.base_momentum), as_float(self.max_momentum)
        return self._over(lambda t: highest - (highest - base) * self._height(t), t)

    def _height(self, t: Array) -> Array:
        """Where between the two levels, 0 to 1: the triangle times its scale."""
        up, down = as_count(self.step_size_up), as_count(self.step_size_down)
        completed, position = t // (up + down), t % (up + down)
        triangle = jnp.where(position <= up, ratio(position, up), ratio(up + down - position, down))
        return triangle * self._scale(t, completed)

    def _scale(self, t: Array, completed: Array) -> Array:
        if self.scale_fn is not None:
            return as_float(self.scale_fn(as_float(completed + 1) if self.scale_mode == "cycle" else t))
        if self.mode == "triangular":
            return as_float(1)
        if self.mode == "triangular2":
            return jnp.ldexp(as_float(1), -completed.astype(jnp.int32))  # exactly a power of two
        return power(self.gamma, t)


@register
def cyclic(
    *,
    base_lr: Any,
    max_lr: Any,
    step_size_up: Any = 2000,
    step_size_down: Any = None,
    mode: str = "triangular",
    gamma: Any = 1.0,
    scale_fn: Callable[[Array], Array] | None = None,
    scale_mode: str = "cycle",
    base_momentum: Any = 0.8,
    max_momentum: Any = 0.9,
) -> Cyclic:
    r"""A cyclical lr, with its momentum cycle in ``.momentum(t)``.

    .. math:: \eta(t) = base\_lr + (max\_lr - base\_lr) \cdot triangle(t) \cdot scale(t)

    ``triangle`` rises from 0 to 1 over ``step_size_up`` steps and falls over ``step_size_down``. ``scale`` is 1
    (triangular), halves with every cycle (triangular2), or is ``gamma^t`` (exp_range). Momentum goes from
    ``max_momentum`` down and back by the same triangle.

    Parameters
    ----------
    base_lr, max_lr : scalars in [0, inf)
    step_size_up, step_size_down : scalars in (0, inf)
        The second is the first unless given.
    mode : "triangular", "triangular2" or "exp_range"
    gamma : scalar in [0, inf)
        For exp_range.
    scale_fn : function of the cycle (1, 2, …) or of the step, traceable by jax
        Takes the place of ``mode``. A program is compiled for each function object.
    scale_mode : "cycle" or "iterations"
        What ``scale_fn`` is given.
    base_momentum, max_momentum : scalars in [0, inf)

    Returns
    -------
    Schedule
        With ``.momentum(t)`` beside the call.

    References
    ----------
    Smith 2017 (1506.01186); ``torch/optim/lr_scheduler.py`` (2.13), ``CyclicLR.get_lr``, which has no recursion but
    finds its place in the cycle by subtracting the number of cycles: off by 1e-16 per cycle done. Here it is exact.

    Examples
    --------
    >>> cyclic(base_lr=0.0, max_lr=1.0, step_size_up=2, mode="triangular2")([0, 1, 2, 4, 6]).tolist()
    [0.0, 0.5, 1.0, 0.0, 0.5]
    """
    choice("cyclic", "mode", mode, MODES)
    choice("cyclic", "scale_mode", scale_mode, ("cycle", "iterations"))
    if scale_fn is not None and not callable(scale_fn):
        raise TypeError(f"cyclic: scale_fn={scale_fn!r} must be a function of the cycle or of the step")
    step_size_up = number("cyclic", "step_size_up", step_size_up, POSITIVE)
    return Cyclic(
        base_lr=number("cyclic", "base_lr", base_lr, NONNEGATIVE),
        max_lr=number("cyclic", "max_lr", max_lr, NONNEGATIVE),
        step_size_up=step_size_up,
        step_size_down=step_size_up
        if step_size_down is None
        else number("cyclic", "step_size_down", step_size_down, POSITIVE),
        gamma=gamma_of("cyclic", "gamma", gamma),
        base_momentum=number("cyclic", "base_momentum", base_momentum, NONNEGATIVE),
        max_momentum=number("cyclic", "max_momentum", max_momentum, NONNEGATIVE),
        mode=mode,
        scale_fn=scale_fn,
        scale_mode=scale_mode,
    )
