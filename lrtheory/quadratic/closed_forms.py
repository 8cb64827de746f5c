r"""Stationary variances in closed form, and the lr that keeps one when the batch changes.

``variance`` is that of the batch's gradient (σ² of one example over B); h is the curvature. Each is what
:func:`~lrtheory.quadratic.stationary` solves for; none looks at whether the run is stable.
"""

from __future__ import annotations

from typing import Any


def heavy_ball_variance(lr: Any, momentum: Any, dampening: Any, curvature: Any, variance: Any) -> Any:
    r"""Variance of p under SGD with momentum: :math:`e\sigma^2(1+\mu)/(h(1-\mu)(2(1+\mu)-eh))`, :math:`e = lr(1-\tau)`.

    Without momentum torch ignores the dampening: give 0 then.
    """
    e = lr * (1 - dampening)
    return e * variance * (1 + momentum) / (curvature * (1 - momentum) * (2 * (1 + momentum) - e * curvature))


def nesterov_variance(lr: Any, momentum: Any, curvature: Any, variance: Any) -> Any:
    r"""Variance of p under SGD with Nesterov's look-ahead.

    .. math:: \frac{lr\,\sigma^2 (1+\mu+\eta h\mu+2\eta h\mu^2)}{h (1-\mu+\eta h\mu)(2(1+\mu)-\eta h(1+2\mu))}
    """
    x = lr * curvature
    above = 1 + momentum + x * momentum + 2 * x * momentum**2
    return (
        lr
        * variance
        * above
        / (curvature * (1 - momentum + x * momentum) * (2 * (1 + momentum) - x * (1 + 2 * momentum)))
    )


def equal_variance_lr(lr: Any, kappa: Any, curvature: Any, momentum: Any = 0.0) -> Any:
    r"""The lr at batch κB with the stationary variance of ``lr`` at batch B, in one direction of curvature h.

    .. math:: \frac{2(1+\mu)\kappa\,lr}{2(1+\mu) + (\kappa-1)\,lr\,h}

    The linear rule κ·lr is its limit for lr·h → 0. As κ grows it tends to the stability threshold 2(1+μ)/h.
    """
    return 2 * (1 + momentum) * kappa * lr / (2 * (1 + momentum) + (kappa - 1) * lr * curvature)
