"""The one-cycle policy: lr up and down again, momentum the other way round."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax.numpy as jnp
from jax import Array

from ..numbers import Range
from .anneal import STRATEGIES, blend, difference
from .schedule import (
    FRACTION,
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
    whole_number,
)


@pytree
class OneCycle(Schedule):
    """lr and momentum of the one-cycle policy."""

    max_lr: Any
    total_steps: Any
    pct_start: Any
    base_momentum: Any
    max_momentum: Any
    div_factor: Any
    final_div_factor: Any
    anneal_strategy: str = static("cos")
    three_phase: bool = static(False)

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


@register
def one_cycle(
    *,
    max_lr: Any,
    total_steps: Any,
    pct_start: Any = 0.3,
    base_momentum: Any = 0.85,
    max_momentum: Any = 0.95,
    div_factor: Any = 25.0,
    final_div_factor: Any = 1e4,
    anneal_strategy: str = "cos",
    three_phase: bool = False,
) -> OneCycle:
    r"""The one-cycle policy, with its momentum cycle in ``.momentum(t)``.

    .. math::
        \eta: \; max\_lr/div\_factor \to max\_lr \to max\_lr/(div\_factor \cdot final\_div\_factor)

    The first phase ends at ``pct_start·total_steps − 1``, the last at ``total_steps − 1``; with three phases the lr
    first returns to where it began. Momentum goes from ``max_momentum`` to ``base_momentum`` and back.

    Parameters
    ----------
    max_lr : scalar in [0, inf)
    total_steps : integer in (0, inf)
        After more steps than this the lr is nan: torch raises there. At ``t = total_steps`` torch goes one step past
        its own end, and so does this.
    pct_start : scalar in [0, 1]
    base_momentum, max_momentum : scalars in [0, inf)
    div_factor, final_div_factor : scalars in (0, inf)
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
    choice("one_cycle", "anneal_strategy", anneal_strategy, STRATEGIES)
    if not isinstance(three_phase, bool):
        raise TypeError(f"one_cycle: three_phase={three_phase!r} must be True or False")
    allowed: dict[str, tuple[Any, Range]] = {
        "max_lr": (max_lr, NONNEGATIVE),
        "pct_start": (pct_start, FRACTION),
        "base_momentum": (base_momentum, NONNEGATIVE),
        "max_momentum": (max_momentum, NONNEGATIVE),
        "div_factor": (div_factor, POSITIVE),
        "final_div_factor": (final_div_factor, POSITIVE),
    }
    numbers = {name: number("one_cycle", name, value, interval) for name, (value, interval) in allowed.items()}
    numbers["total_steps"] = whole_number("one_cycle", "total_steps", total_steps, POSITIVE)
    return OneCycle(**numbers, anneal_strategy=anneal_strategy, three_phase=three_phase)
