"""Schedules made of schedules: one after the other, or multiplied."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import NONNEGATIVE, is_concrete
from ._schedule import Counts, Factor, Schedule, as_count, as_float, pytree, register


@pytree
class Sequential(Schedule):
    r"""Schedules one after the other: each counts its steps from the milestone where it takes over.

    .. math:: \eta(t) = \eta_i(t - m_i), \qquad m_i \le t < m_{i+1}, \quad m_0 = 0

    Parameters
    ----------
    schedules : sequence of schedules, at least one
        Each with an lr of its own; give all the same for what one torch optimizer does.

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``SequentialLR``: at a milestone it sets the next scheduler to its step 0,
    by its closed form where there is one, and lets it step from there. It differs for the schedulers that continue
    from the lr in force, ``MultiplicativeLR`` and ``SWALR`` (here: :func:`~lrtheory.schedules.swalr` with a ``start``),
    and after ``OneCycleLR`` or ``CyclicLR``, whose constructors overwrite the optimizer's lr.

    Examples
    --------
    >>> from lrtheory.schedules import constant, exponential
    >>> sequential(schedules=[constant(lr=0.5), exponential(lr=1.0, gamma=0.5)], milestones=[2])([1, 2, 3]).tolist()
    [0.5, 1.0, 0.5]
    """

    schedules: tuple[Schedule, ...]
    milestones: Any = Counts(None, NONNEGATIVE, "steps", "They do not fall, and are one less than schedules.")

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The schedules, refused when they are none."""
        return {**given, "schedules": _schedules("sequential", given["schedules"])}

    def check(self) -> None:
        """Milestones, one less than schedules, in rising order."""
        milestones, count = self.milestones, len(self.schedules)
        if len(milestones) != count - 1:
            raise ValueError(
                f"sequential: {count} schedules need {count - 1} milestones, "
                f"but milestones={milestones} are {len(milestones)}"
            )
        if is_concrete(milestones) and np.any(np.diff(milestones) < 0):
            raise ValueError(f"sequential: milestones={milestones} must be in rising order")

    def lr_at(self, t: Array) -> Array:
        """See :func:`sequential`."""
        milestones = as_count(self.milestones)
        value = self.schedules[0].lr_at(t)
        for i, schedule in enumerate(self.schedules[1:]):
            start = milestones[i]
            value = jnp.where(t >= start, schedule.lr_at(jnp.maximum(t - start, 0)), value)
        return value


sequential = register("sequential", Sequential)


@pytree
class Chained(Factor):
    r"""Schedules that act on one lr at the same time: their factors multiply.

    .. math:: \eta(t) = lr \cdot \prod_i \frac{\eta_i(t)}{lr}

    Parameters
    ----------
    schedules : sequence of schedules, at least one
        All of the same lr, that of the optimizer. Each must be a factor times it: constant, step, multi_step,
        linear, exponential, polynomial, multiplicative, a chain, or cosine_annealing down to 0.

    Raises
    ------
    TypeError, ValueError
        For a schedule that is no factor, or when the lrs are known and differ.

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ChainedScheduler``. Torch agrees with the product as long as no factor
    has been 0: after cosine annealing reaches 0 it rises again without the factors the others had by then.

    Examples
    --------
    >>> from lrtheory.schedules import constant, exponential
    >>> chain = chained(schedules=[constant(lr=1.0, factor=0.5, total_iters=2), exponential(lr=1.0, gamma=0.5)])
    >>> chain([0, 1, 2]).tolist()
    [0.5, 0.25, 0.25]
    """

    schedules: tuple[Schedule, ...]

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The schedules, refused when they are none, no factors, or of different lrs."""
        schedules = _schedules("chained", given["schedules"])
        for schedule in schedules:
            schedule.require_factor()
        lrs = [_own_lr(schedule) for schedule in schedules]
        if all(is_concrete(lr) for lr in lrs) and any(np.any(np.asarray(lr) != np.asarray(lrs[0])) for lr in lrs):
            raise ValueError(
                f"chained: the schedules start from different lrs, {lrs}; they share one, as in an optimizer"
            )
        return {"schedules": schedules}

    @property
    def lr(self) -> Any:
        """The lr that every schedule of the chain starts from."""
        return _own_lr(self.schedules[0])

    def factor_at(self, t: Array) -> Array:
        """See :func:`chained`."""
        product = as_float(1)
        for schedule in self.schedules:
            product = product * schedule.factor_at(t)
        return product


chained = register("chained", Chained)


def _own_lr(schedule: Schedule) -> Any:
    return schedule.lr  # type: ignore[attr-defined]


def _schedules(owner: str, schedules: Any) -> tuple[Schedule, ...]:
    schedules = tuple(schedules)
    if not schedules:
        raise ValueError(f"{owner}: at least one schedule is needed, got none")
    for i, schedule in enumerate(schedules):
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"{owner}: schedules[{i}] is {schedule!r}, not a schedule"
                + ("; plateau needs a metric at each step" if hasattr(schedule, "update") else "")
            )
    return schedules
