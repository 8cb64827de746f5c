"""Policies that move the momentum too: cyclical and one-cycle."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from jax import Array

from ..numbers import FRACTION, NONNEGATIVE, POSITIVE
from ._schedule import Schedule, Whole, as_count, as_float, count, level, option, optional, pure, pytree, register
from ._terms import STRATEGIES, DecayFactor, blend, difference, power, ratio

BEYOND = (
    "After more steps than this the lr is nan: torch raises there. At ``t = total_steps`` torch goes one step past its own end, "
    "and so does this."
)

MODES = ("triangular", "triangular2", "exp_range")


@pytree
class Cyclic(Schedule):
    r"""A cyclical lr, with its momentum cycle in ``.momentum(t)``.

    .. math:: \eta(t) = base\_lr + (max\_lr - base\_lr) \cdot triangle(t) \cdot scale(t)

    ``triangle`` rises from 0 to 1 over ``step_size_up`` steps and falls over ``step_size_down``. ``scale`` is 1
    (triangular), halves with every cycle (triangular2), or is ``gamma^t`` (exp_range). Momentum goes from
    ``max_momentum`` down and back by the same triangle.

    Parameters
    ----------
    mode : "triangular", "triangular2" or "exp_range"
    scale_fn : function of the cycle (1, 2, …) or of the step, traceable by jax
        Takes the place of ``mode``. A program is compiled for each function object.
    scale_mode : "cycle" or "iterations"
        What ``scale_fn`` is given.

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

    base_lr: Any = level()
    max_lr: Any = level()
    step_size_up: Any = count(2000)
    step_size_down: Any = optional(count(meaning="That of ``step_size_up`` unless given."))
    mode: str = option("triangular", *MODES)
    gamma: Any = DecayFactor(1.0, NONNEGATIVE, "per step", "For exp_range.")
    scale_fn: Callable[[Array], Array] | None = option(None)
    scale_mode: str = option("cycle", "cycle", "iterations")
    base_momentum: Any = pure(0.8)
    max_momentum: Any = pure(0.9)

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """As long down as up unless given."""
        if given["scale_fn"] is not None and not callable(given["scale_fn"]):
            raise TypeError(f"cyclic: scale_fn={given['scale_fn']!r} must be a function of the cycle or of the step")
        down = given["step_size_up"] if given["step_size_down"] is None else given["step_size_down"]
        return {**given, "step_size_down": down}

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


cyclic = register("cyclic", Cyclic)


@pytree
class OneCycle(Schedule):
    r"""The one-cycle policy, with its momentum cycle in ``.momentum(t)``.

    .. math::
        \eta: \; max\_lr/div\_factor \to max\_lr \to max\_lr/(div\_factor \cdot final\_div\_factor)

    The first phase ends at ``pct_start·total_steps − 1``, the last at ``total_steps − 1``; with three phases the lr
    first returns to where it began. Momentum goes from ``max_momentum`` to ``base_momentum`` and back.

    Parameters
    ----------
    anneal_strategy : "cos" or "linear"
    three_phase : option

    Returns
    -------
    Schedule
        With ``.momentum(t)`` beside the call.

    References
    ----------
    Smith & Topin 2017 (1708.07120); ``torch/optim/lr_scheduler.py`` (2.13), ``OneCycleLR.get_lr``.

    Examples
    --------
    >>> cycle = one_cycle(max_lr=1.0, total_steps=10, pct_start=0.5, anneal_strategy="linear")
    >>> cycle(4).item(), cycle.momentum([0, 4]).round(2).tolist() == cycle.momentum([9, 4]).round(2).tolist()
    (1.0, True)
    """

    max_lr: Any = level()
    total_steps: Any = Whole(None, POSITIVE, "steps", BEYOND)
    pct_start: Any = pure(0.3, FRACTION)
    base_momentum: Any = pure(0.85)
    max_momentum: Any = pure(0.95)
    div_factor: Any = pure(25.0, POSITIVE)
    final_div_factor: Any = pure(1e4, POSITIVE)
    anneal_strategy: str = option("cos", *STRATEGIES)
    three_phase: bool = option(False)

    def lr_at(self, t: Array) -> Array:
        """See :func:`one_cycle`."""
        highest = as_float(self.max_lr)
        initial = highest / as_float(self.div_factor)
        lowest = initial / as_float(self.final_div_factor)
        levels = [initial, highest, initial, lowest] if self.three_phase else [initial, highest, lowest]
        return self._through(levels, t)

    def momentum(self, t: Any) -> Array:
        """The momentum (beta1 of Adam-like rules) in force after ``t`` scheduler steps."""
        highest, lowest = as_float(self.max_momentum), as_float(self.base_momentum)
        levels = [highest, lowest, highest, highest] if self.three_phase else [highest, lowest, highest]
        return self._over(lambda t: self._through(levels, t), t)

    def _through(self, levels: list[Array], t: Array) -> Array:
        """Anneal from level to level over the phases; nan past the end, where torch raises."""
        total, share = as_count(self.total_steps), as_float(self.pct_start)
        # A phase ends one step early, and the second of three another one: torch counts its ends so.
        first = share * as_float(total) - 1
        ends = [first, 2 * share * as_float(total) - 2, total - 1] if self.three_phase else [first, total - 1]
        starts = [jnp.zeros_like(total), *ends[:-1]]
        phases = []
        for start, end, (low, high) in zip(starts, ends, pairwise(levels), strict=True):
            length = difference(end, start)
            done, left = difference(t, start) / length, difference(end, t) / length
            phases.append(blend(low, high, done, left, self.anneal_strategy))
        value = phases[-1]
        for end, phase in zip(reversed(ends[:-1]), reversed(phases[:-1]), strict=True):
            value = jnp.where(difference(t, end) <= 0, phase, value)
        return jnp.where(t <= total, value, jnp.nan)


one_cycle = register("one_cycle", OneCycle)


def first_phase(share: Any, total: Any, new_total: Any, length: float) -> Any:
    """``pct_start`` of a one-cycle ``length`` times as long whose first phase, which ends at share·total − 1, is so as well."""
    return ((share * total - 1) * length + 1) / new_total


def lost(peak: float, sampled: float) -> bool:
    """Whether the largest lr of a shorter schedule is another than that of the old one at every so many steps."""
    return not 0.8 * sampled <= peak <= 1.25 * sampled
