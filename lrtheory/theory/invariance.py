r"""Scale-invariant weights: the lr their direction feels, their equilibrium under weight decay, and decay as a schedule.

Steps lengthen the weight and decay shortens it until the two balance; from then on neither lr nor the size of the gradient
decides how fast it turns, but their product with weight decay does.

With :math:`\eta = lr`, :math:`\lambda = weight\_decay` and gradients that are random, orthogonal to the weight and of size
:math:`G/\|w\|`, the second moments of weight and buffer obey a linear recursion once their lengths no longer fluctuate. For
SGD with momentum μ, :math:`b_+ = \mu b + \lambda w + g` and :math:`w_+ = w - \eta b_+` give

.. math::
    E\,w \cdot b_+ = \frac{\eta E\|b\|^2}{2}, \quad E\|b\|^2 = \frac{2\lambda\|w\|^2}{\eta(1 + \mu)}, \quad
    \cos = 1 - \frac{\eta\lambda}{1 + \mu}, \quad \|w\|^4 = \frac{\eta G^2}{\lambda(1 - \mu)(2 - \eta\lambda/(1 + \mu))}

and for AdamW, whose update :math:`u_+ = \beta_1 u + (1 - \beta_1) n` averages normalised gradients with
:math:`E\|n\|^2 = C`, the number of coordinates, and :math:`\rho = 1 - \eta\lambda`,

.. math::
    \cos = \frac{\rho + \beta_1}{1 + \rho\beta_1}, \quad
    \|w\|^2 = \frac{\eta^2 C}{1 - \rho^2} \frac{(1 - \beta_1)(1 + \rho\beta_1)}{(1 + \beta_1)(1 - \rho\beta_1)}

To first order in ηλ these are the rotations √(2ηλ/(1+μ)) and √(2ηλ(1−β₁)/(1+β₁)) of Kosson et al.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..rules import Rule
from .asking import NoLaw, answered, number, numbers_of
from .scaling import rescaled_hyper

__all__ = [
    "AdamSchedule", "Equilibrium", "Schedule", "adamw_schedule", "angle", "angular_lr", "buffer_seed", "equilibrium",
    "next_square_norm", "numbers_for_length", "rotation_per_step", "sgd_schedule", "square_norms_with_momentum",
]  # fmt: skip


class Equilibrium(NamedTuple):
    """Length of the weight, in [param], and the angle it turns by in a step, in radians."""

    norm: float
    rotation: float


def rotation_per_step(rule: Rule, hyper: Any) -> float:
    r"""Angle per step at equilibrium, in radians: :math:`\arccos` of the cosines above.

    Exact for SGD without momentum and gradients of constant :math:`\|w\|\|g\|`; otherwise a mean over random gradients,
    for weights of many coordinates.

    Raises
    ------
    NoLaw
        Without weight decay, where the weight only grows and turns ever slower, and for rules it was not derived for.
    """
    return equilibrium(rule, hyper).rotation


def equilibrium(rule: Rule, hyper: Any, *, gradient_norm: float = 1.0, coordinates: int = 1) -> Equilibrium:
    """Length and rotation that a scale-invariant weight settles at.

    Parameters
    ----------
    rule, hyper : sgd (not nesterov) or adamw, with weight decay
    gradient_norm : ‖w‖·‖g‖, in [loss], for SGD
        Size of the gradient where the weight has length 1.
    coordinates : number of entries of the weight, for AdamW
        Its normalised gradient has that square norm whatever the loss is.

    Raises
    ------
    NoLaw
        As :func:`rotation_per_step`.
    """
    h = numbers_of(rule, hyper)
    if number(h, "weight_decay") == 0:
        raise NoLaw(f"{rule!r} without weight decay has no equilibrium: the weight grows and turns ever slower")
    norm, cosine = answered(rule, rule.facts.equilibrium, h, gradient_norm, coordinates)
    return Equilibrium(norm, angle(cosine))


def angle(cosine: float) -> float:
    """arccos, accurate near 1."""
    return 2 * math.asin(math.sqrt(max(0.0, (1 - cosine) / 2)))


def angular_lr(rule: Rule, hyper: Any, norm: float) -> float:
    """Lr that the direction of a scale-invariant weight feels: lr over the power of its norm that the units of lr name.

    ``lr/‖w‖²`` for SGD, ``lr/‖w‖`` for Adam and other rules whose steps do not grow with the gradient, ``lr`` for LARS and
    LAMB, which divide by the norm themselves. Equal values mean equal directions, if the other hyperparameters follow
    :func:`numbers_for_length`.
    """
    if not norm > 0:
        raise ValueError(f"norm={norm}: a weight without length has no direction")
    return numbers_of(rule, hyper).lr / norm ** float(rule.units["lr"].param)


def numbers_for_length(rule: Rule, hyper: Any, factor: float) -> Any:
    """Hyperparameters with which a scale-invariant weight ``factor`` times as long takes the same directions.

    SGD: lr·factor², weight_decay/factor². Adam: lr·factor, eps/factor, decoupled weight_decay/factor. It is the law of
    parameter scale, since the loss does not see the length: every number follows its units.
    """
    return rescaled_hyper(rule, hyper, params=factor)


def next_square_norm(
    square_norm: npt.ArrayLike, square_gradient: npt.ArrayLike, lr: float, weight_decay: float
) -> np.ndarray:
    r""":math:`\|w\|^2` after a step of SGD: :math:`(1 - lr \cdot weight\_decay)^2\|w\|^2 + lr^2\|g\|^2`, since g ⟂ w."""
    return (1 - lr * weight_decay) ** 2 * np.asarray(square_norm) + lr**2 * np.asarray(square_gradient)


def square_norms_with_momentum(
    square_norm: float, square_buffers: npt.ArrayLike, lr: float, momentum: float
) -> np.ndarray:
    r""":math:`\|w\|^2` after each step of SGD with momentum, from the first and :math:`\|b\|^2` of the buffer after each step.

    With :math:`P = \langle w, b \rangle`, of which the gradient is no part: :math:`\|w\|^2 \leftarrow \|w\|^2 - 2 lr
    \cdot momentum P + lr^2\|b\|^2` and :math:`P \leftarrow momentum P - lr\|b\|^2`, from 0.
    """
    found, along = [square_norm], 0.0
    for square in np.asarray(square_buffers):
        found.append(found[-1] - 2 * lr * momentum * along + lr**2 * square)
        along = momentum * along - lr * square
    return np.array(found[1:])


class Schedule(NamedTuple):
    r"""A run without decay that takes the directions of one with it.

    Attributes
    ----------
    lr : array of shape (steps,)
        Lr of each step.
    rho : float
        The weight with decay is :math:`\rho^t` times the one without.
    """

    lr: np.ndarray
    rho: float


def sgd_schedule(lr: float, weight_decay: float, steps: int, momentum: float = 0.0) -> Schedule:
    r"""Schedule of SGD without decay that equals SGD with it: :math:`lr_t = lr \cdot \rho^{-2t-1}`, t = 0, 1, ….

    ρ is the larger root of :math:`x^2 - (1 + momentum - lr \cdot weight\_decay)x + momentum`, without momentum
    :math:`1 - lr \cdot weight\_decay`. Momentum stays; its buffer starts at :func:`buffer_seed`.

    Raises
    ------
    NoLaw
        Where :math:`lr \cdot weight\_decay > (1 - \sqrt{momentum})^2`: the roots are complex, and decay makes the weight
        oscillate, which no positive schedule does.
    """
    rate, limit = lr * weight_decay, (1 - math.sqrt(momentum)) ** 2
    if rate > limit:
        raise NoLaw(
            f"lr·weight_decay={rate:g} is above (1 − √momentum)² = {limit:g}: decay alone makes the weight oscillate, and no "
            "schedule does the same; lower one of the three"
        )
    total = 1 + momentum - rate
    rho = (total + math.sqrt(max(total * total - 4 * momentum, 0.0))) / 2
    return Schedule(lr * rho ** (-2.0 * np.arange(steps) - 1), rho)


def buffer_seed(w: npt.ArrayLike, lr: float, weight_decay: float, momentum: float) -> np.ndarray:
    r"""Momentum buffer before the first step of the run without decay: :math:`-(1-\rho)w_0/(lr \cdot \rho)`.

    It is a buffer that torch has (``state["momentum_buffer"]``), so that the first gradient is added to it and not copied.
    """
    rho = sgd_schedule(lr, weight_decay, 0, momentum).rho
    return -(1 - rho) / (lr * rho) * np.asarray(w, float)


class AdamSchedule(NamedTuple):
    """Adam without decay that takes the directions of AdamW: lr of each step, and the rates its moments decay with."""

    lr: np.ndarray
    rho: float
    beta1: float
    beta2: float


def adamw_schedule(lr: float, weight_decay: float, beta1: float, beta2: float, steps: int) -> AdamSchedule:
    r"""AdamW at eps 0 without its decay.

    :math:`lr_t = lr \cdot \rho^{-t-1}`, t = 0, 1, …, :math:`\rho = 1 - lr \cdot weight\_decay`; the old moments are
    multiplied by :math:`\rho\,beta1` and :math:`\rho^2 beta2`, while the weights 1 − beta1 and 1 − beta2 of the new gradient
    and the bias corrections stay those of beta1 and beta2.
    """
    rho = 1 - lr * weight_decay
    return AdamSchedule(lr * rho ** (-np.arange(steps) - 1.0), rho, rho * beta1, rho**2 * beta2)
