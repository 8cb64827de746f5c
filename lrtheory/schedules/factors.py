"""Factors of one lr: constant, in steps, exponential, linear, polynomial."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ..numbers import FRACTION, NONNEGATIVE, Range
from ._schedule import Counts, Factor, as_count, as_float, count, level, pure, pytree, register
from ._terms import DecayFactor, blend, elapsed_and_remaining, power, ratio

KEPT = (
    "A known gamma keeps its double precision. A traced one has only its own dtype: in float32 the relative error of the lr "
    "grows as 3e-8·t."
)


@pytree
class Constant(Factor):
    r"""A constant lr, multiplied by a factor during the first steps.

    .. math:: \eta(t) = lr \cdot factor \;\; (t < total\_iters), \qquad lr \;\; (t \ge total\_iters)

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ConstantLR._get_closed_form_lr``. Its chained form keeps the factor for
    ever when ``total_iters`` is 0, and divides by zero when the factor is.

    Examples
    --------
    >>> constant(lr=0.5, factor=0.5, total_iters=2)([0, 1, 2]).tolist()
    [0.25, 0.25, 0.5]
    """

    lr: Any = level()
    factor: Any = pure(
        1.0,
        FRACTION,
        "1 by default, so that ``constant(lr=...)`` is what it says; torch's ConstantLR has 1/3 over 5 steps.",
    )
    total_iters: Any = count(0, NONNEGATIVE)

    def factor_at(self, t: Array) -> Array:
        """See :func:`constant`."""
        return jnp.where(t < as_count(self.total_iters), as_float(self.factor), 1)


constant = register("constant", Constant)


@pytree
class Step(Factor):
    r"""An lr multiplied by ``gamma`` every ``step_size`` steps.

    .. math:: \eta(t) = lr \cdot gamma^{\lfloor t / step\_size \rfloor}

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``StepLR._get_closed_form_lr``.

    Examples
    --------
    >>> step(lr=0.5, step_size=2, gamma=0.5)([0, 1, 2, 4]).tolist()
    [0.5, 0.5, 0.25, 0.125]
    """

    lr: Any = level()
    step_size: Any = count()
    gamma: Any = DecayFactor(0.1)

    def factor_at(self, t: Array) -> Array:
        """See :func:`step`."""
        return power(self.gamma, t // as_count(self.step_size))


step = register("step", Step)


@pytree
class MultiStep(Factor):
    r"""An lr multiplied by ``gamma`` at each milestone.

    .. math:: \eta(t) = lr \cdot gamma^{\#\{m \in milestones : m \le t\}}

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``MultiStepLR._get_closed_form_lr``.

    Examples
    --------
    >>> multi_step(lr=0.5, milestones=[2, 3], gamma=0.5)([1, 2, 3]).tolist()
    [0.5, 0.25, 0.125]
    """

    lr: Any = level()
    milestones: Any = Counts(None, NONNEGATIVE, "steps", "In any order; one named twice counts twice, as in torch.")
    gamma: Any = DecayFactor(0.1)

    def factor_at(self, t: Array) -> Array:
        """See :func:`multi_step`."""
        return power(self.gamma, jnp.sum(t[..., None] >= as_count(self.milestones), axis=-1))


multi_step = register("multi_step", MultiStep)


@pytree
class Exponential(Factor):
    r"""An lr multiplied by ``gamma`` every step.

    .. math:: \eta(t) = lr \cdot gamma^t

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ExponentialLR``.

    Examples
    --------
    >>> exponential(lr=1.0, gamma=0.5)([0, 1, 3]).tolist()
    [1.0, 0.5, 0.125]
    """

    lr: Any = level()
    gamma: Any = DecayFactor(None, NONNEGATIVE, "per step", KEPT)

    def factor_at(self, t: Array) -> Array:
        """See :func:`exponential`."""
        return power(self.gamma, t)


exponential = register("exponential", Exponential)


@pytree
class Linear(Factor):
    r"""An lr that moves linearly from one factor to another: warm-up by default.

    .. math:: \eta(t) = lr \cdot \left(start\_factor + (end\_factor - start\_factor) \cdot
        \frac{\min(t, total\_iters)}{total\_iters}\right)

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``LinearLR._get_closed_form_lr``.

    Examples
    --------
    >>> linear(lr=1.0, start_factor=0.5, total_iters=2)([0, 1, 2, 9]).tolist()
    [0.5, 0.75, 1.0, 1.0]
    """

    lr: Any = level()
    start_factor: Any = pure(1 / 3, Range(0.0, 1.0, open_low=True))
    end_factor: Any = pure(1.0, FRACTION)
    total_iters: Any = count(5)

    def factor_at(self, t: Array) -> Array:
        """See :func:`linear`."""
        elapsed, remaining = elapsed_and_remaining(t, self.total_iters)
        done, left = ratio(elapsed, self.total_iters), ratio(remaining, self.total_iters)
        return blend(self.start_factor, self.end_factor, done, left)


linear = register("linear", Linear)


@pytree
class Polynomial(Factor):
    r"""An lr that falls to 0 over ``total_iters`` steps and stays there.

    .. math:: \eta(t) = lr \cdot \left(1 - \frac{\min(t, total\_iters)}{total\_iters}\right)^{power}

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``PolynomialLR._get_closed_form_lr``.

    Examples
    --------
    >>> polynomial(lr=1.0, total_iters=4, power=2.0)([0, 2, 4, 9]).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """

    lr: Any = level()
    total_iters: Any = count(5)
    power: Any = pure(1.0, meaning="At 0 the lr is constant.")

    def factor_at(self, t: Array) -> Array:
        """See :func:`polynomial`."""
        _, remaining = elapsed_and_remaining(t, self.total_iters)
        return ratio(remaining, self.total_iters) ** as_float(self.power)


polynomial = register("polynomial", Polynomial)
