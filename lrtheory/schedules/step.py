"""An lr that drops by a factor at given steps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .schedule import NONNEGATIVE, POSITIVE, Schedule, as_float, number, pytree, register


@pytree
class Step(Schedule):
    """``lr·gamma^⌊t/step_size⌋``."""

    lr: Any
    step_size: Any
    gamma: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`step`."""
        return as_float(self.lr) * as_float(self.gamma) ** as_float(t // self.step_size)


@register
def step(*, lr: Any, step_size: Any, gamma: Any = 0.1) -> Step:
    r"""An lr multiplied by ``gamma`` every ``step_size`` steps.

    .. math:: \eta(t) = lr \cdot gamma^{\lfloor t / step\_size \rfloor}

    Parameters
    ----------
    lr : scalar in [0, inf)
    step_size : scalar in (0, inf)
    gamma : scalar in [0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``StepLR``.

    Examples
    --------
    >>> step(lr=0.5, step_size=2, gamma=0.5)([0, 1, 2, 4]).tolist()
    [0.5, 0.5, 0.25, 0.125]
    """
    return Step(
        lr=number("step", "lr", lr, NONNEGATIVE),
        step_size=number("step", "step_size", step_size, POSITIVE),
        gamma=number("step", "gamma", gamma, NONNEGATIVE),
    )


@pytree
class MultiStep(Schedule):
    """``lr·gamma^(number of milestones ≤ t)``."""

    lr: Any
    milestones: Any
    gamma: Any

    def lr_at(self, t: Array) -> Array:
        """See :func:`multi_step`."""
        passed = jnp.sum(t[..., None] >= jnp.asarray(self.milestones), axis=-1)
        return as_float(self.lr) * as_float(self.gamma) ** as_float(passed)


@register
def multi_step(*, lr: Any, milestones: Any, gamma: Any = 0.1) -> MultiStep:
    r"""An lr multiplied by ``gamma`` at each milestone.

    .. math:: \eta(t) = lr \cdot gamma^{\#\{m \in milestones : m \le t\}}

    Parameters
    ----------
    lr : scalar in [0, inf)
    milestones : 1-D sequence or array of step counts, in any order
        A milestone named twice counts twice, as in torch.
    gamma : scalar in [0, inf)

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``MultiStepLR``.

    Examples
    --------
    >>> multi_step(lr=0.5, milestones=[2, 3], gamma=0.5)([1, 2, 3]).tolist()
    [0.5, 0.25, 0.125]
    """
    if isinstance(milestones, (list, tuple)):
        milestones = np.asarray(milestones, dtype=np.int32 if all(isinstance(m, int) for m in milestones) else float)
    if np.ndim(milestones) != 1:
        raise ValueError(f"multi_step: milestones={milestones} must be a 1-D sequence of step counts")
    return MultiStep(
        lr=number("multi_step", "lr", lr, NONNEGATIVE),
        milestones=number("multi_step", "milestones", milestones, NONNEGATIVE),
        gamma=number("multi_step", "gamma", gamma, NONNEGATIVE),
    )
