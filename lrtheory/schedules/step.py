"""An lr that drops by a factor at given steps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from .factor import Factor
from .power import Gamma, gamma_of, power
from .schedule import NONNEGATIVE, POSITIVE, as_count, number, pytree, register, step_counts


@pytree
class Step(Factor):
    """``lr·gamma^⌊t/step_size⌋``."""

    lr: Any
    step_size: Any
    gamma: Gamma

    def factor_at(self, t: Array) -> Array:
        """See :func:`step`."""
        return power(self.gamma, t // as_count(self.step_size))


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
    ``torch/optim/lr_scheduler.py`` (2.13), ``StepLR._get_closed_form_lr``.

    Examples
    --------
    >>> step(lr=0.5, step_size=2, gamma=0.5)([0, 1, 2, 4]).tolist()
    [0.5, 0.5, 0.25, 0.125]
    """
    return Step(
        lr=number("step", "lr", lr, NONNEGATIVE),
        step_size=number("step", "step_size", step_size, POSITIVE),
        gamma=gamma_of("step", "gamma", gamma),
    )


@pytree
class MultiStep(Factor):
    """``lr·gamma^(number of milestones ≤ t)``."""

    lr: Any
    milestones: Any
    gamma: Gamma

    def factor_at(self, t: Array) -> Array:
        """See :func:`multi_step`."""
        return power(self.gamma, jnp.sum(t[..., None] >= as_count(self.milestones), axis=-1))


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
    ``torch/optim/lr_scheduler.py`` (2.13), ``MultiStepLR._get_closed_form_lr``.

    Examples
    --------
    >>> multi_step(lr=0.5, milestones=[2, 3], gamma=0.5)([1, 2, 3]).tolist()
    [0.5, 0.25, 0.125]
    """
    return MultiStep(
        lr=number("multi_step", "lr", lr, NONNEGATIVE),
        milestones=step_counts("multi_step", "milestones", milestones),
        gamma=gamma_of("multi_step", "gamma", gamma),
    )
