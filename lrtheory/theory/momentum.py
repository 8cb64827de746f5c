r"""What gradients are multiplied with over time: gains, effective lr, time scales, bias corrections, RAdam's warm-up.

The steps of a rule under a constant gradient g settle at :math:`E \cdot g`. The gain is the part of E that momentum
makes: :math:`(1-dampening)/(1-momentum)` where a buffer sums gradients up, 1 where it averages them, and
:math:`1 - beta1/2` for the schedule-free rules, whose parameters lag behind the sequence that takes the steps.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..rules import Rule
from ..rules.closed_forms import average_length, unnormalised_steps
from ..rules.facts import NOT_KNOWN
from .asking import NoLaw, answered, number, numbers_of

__all__ = [
    "average_length", "average_weights", "coupled_to_lr", "decay_time_scale", "gain", "impulse_response", "measured_gain",
    "rectifier_limit", "smallest_correction", "sparse_adam_eps", "steady_effective_lr", "uncorrected_schedule",
    "unnormalised_steps", "warmup_period",
]  # fmt: skip


def gain(rule: Rule, hyper: Any) -> float:
    """By how much momentum multiplies the effective lr, once it has built up.

    Parameters
    ----------
    rule, hyper : Rule and its hyperparameters

    Returns
    -------
    float
        1 for a rule without momentum, and for one that averages gradients with weights that sum to 1.

    Raises
    ------
    NoLaw
        Where the buffer grows without bound, or nothing is known.
    """
    h = numbers_of(rule, hyper)
    fact = rule.facts.gain
    if fact is None:
        fact = measured_gain(rule, h) if not isinstance(rule.facts.memory, str) else NOT_KNOWN
    return answered(rule, fact, h)


def measured_gain(rule: Rule, h: Any) -> float:
    """The gain of a rule with a linear step, read from that step: what a constant gradient of 1 finally removes, over lr."""
    import jax

    from ..quadratic import linear_step

    plain = h._replace(**{name: 0.0 for name in ("weight_decay",) if number(h, name)})
    with jax.enable_x64(True):
        step = jax.device_get(linear_step(rule, plain))
    M, N = step.M[1:, 1:], step.N[1:]
    settled = np.linalg.solve(np.eye(len(M)) - M, N)
    return float(-(step.N[0] + step.M[0, 1:] @ settled)) / number(h, "lr")


def steady_effective_lr(rule: Rule, hyper: Any, gradient: float) -> float:
    r"""Effective lr once a coordinate's gradient has long been the same.

    Parameters
    ----------
    rule, hyper : Rule and its hyperparameters
    gradient : size of the gradient, in [loss]/[param]

    Returns
    -------
    float
        E, in the units of a step over a gradient. inf where nothing but an eps that is 0 holds it back.

    Raises
    ------
    NoLaw
        Where E never settles, or depends on norms of the whole tensor; the message says which.
    """
    h = numbers_of(rule, hyper)
    if not (math.isfinite(gradient) and gradient > 0):
        raise ValueError(f"gradient={gradient}: the size of a gradient is above 0 and finite")
    return answered(rule, rule.facts.steady, h, gradient)


def decay_time_scale(rule: Rule, hyper: Any) -> float:
    r"""Steps in which weight decay alone divides a parameter by e; inf without decay.

    Minus one over the logarithm of what a step leaves. That is read from the rule's own ``decay``, where decay is decoupled:
    :math:`1 - lr \cdot weight\_decay` (Adan's proximal form: :math:`1/(1 + lr \cdot weight\_decay)`), so that the time scale
    is near :math:`1/(lr \cdot weight\_decay)`. Coupled decay of SGD goes through the buffer, whose slowest root counts:

    .. math::
        x^2 - (1 + \mu - \eta\lambda)x + \mu \qquad (nesterov:\; x^2 - (1+\mu)(1-\eta\lambda)x + \mu(1-\eta\lambda))

    with :math:`\eta = lr(1 - dampening)` and μ the momentum.

    Raises
    ------
    NoLaw
        Where coupled decay is divided by the gradient's size, or scaled with the tensor's norm.
    """
    h = numbers_of(rule, hyper)
    facts = rule.facts
    if facts.decay is None or isinstance(facts.decay, str):
        if number(h, "weight_decay") == 0:
            return math.inf
        left = answered(rule, facts.decay or _left(rule, h))
    else:
        left = answered(rule, facts.decay, h)
    if left == 0:
        return 0.0
    return math.inf if left == 1 else -1 / math.log(left)


def _left(rule: Rule, h: Any) -> float | str:
    """What decay leaves of a parameter of 1 in a step, by the rule's own code."""
    import jax
    import jax.numpy as jnp

    facts = rule.facts
    if rule.array_rule.penalty is not None:
        if facts.divides_by in ("size", "deviation"):
            return (
                "coupled decay is divided by the gradient's size with the rest of the gradient, so that it has no "
                "time scale of its own; decoupled decay has one"
            )
        if isinstance(facts.memory, str):
            return NOT_KNOWN
        from ..quadratic import linear_step, spectral_radius

        with jax.enable_x64(True):
            return float(spectral_radius(linear_step(rule, h).M))
    with jax.enable_x64(True):
        p = jnp.ones(facts.shape)
        return abs(1 - float(rule.decay(h, p, rule.init(p), jnp.zeros_like(p)).reshape(())))


def impulse_response(rule: Rule, hyper: Any, k: npt.ArrayLike, *, first: bool = False) -> np.ndarray:
    r"""What a gradient of 1 removes from the parameter k steps later, k = 0 its own step.

    SGD: :math:`lr(1-dampening) \cdot momentum^k`; with nesterov :math:`lr(1+momentum)`, then :math:`lr \cdot
    momentum^{k+1}`. Other rules with a linear step: read from it, their preconditioner held at 1, so that a gradient of
    1 is one of the size they divide by.

    Parameters
    ----------
    rule, hyper : a rule with a linear step, and its hyperparameters; weight decay is left out
    k : array of whole numbers from 0
    first : whether it is the first gradient of all, which enters SGD's buffer undamped, and which bias corrections
        amplify: Adam's first gradient removes 3.01·lr in all at beta1 = 0.9

    Raises
    ------
    NoLaw
        For a rule that is not linear in the gradients.
    """
    h = numbers_of(rule, hyper)
    if isinstance(rule.facts.memory, str):
        raise NoLaw(
            f"{rule!r} has no impulse response of its own, since its step is not linear in gradients: {rule.facts.memory}"
        )
    import jax

    from ..quadratic import linear_step, linear_steps

    k = np.asarray(k)
    plain = h._replace(**{name: 0.0 for name in ("weight_decay",) if number(h, name)})
    steps = int(k.max(initial=0)) + 1
    with jax.enable_x64(True):
        found = jax.device_get(
            linear_steps(rule, plain._replace(lr=np.full(steps, h.lr))) if first else linear_step(rule, plain)
        )
    z, removed = np.zeros(found.N.shape[-1]), np.zeros(steps)
    for step in range(steps):
        M, N = (found.M[step], found.N[step]) if first else (found.M, found.N)
        before = z[0]
        z = M @ z + (N if step == 0 else 0.0)
        removed[step] = before - z[0]
    return removed[k]


def average_weights(lr: float, weight_decay: float, steps: int) -> tuple[float, np.ndarray]:
    r"""Parameters under decoupled decay as an average: :math:`\theta_T = w_{start}\theta_0 + \sum_i w_i (-u_i/weight\_decay)`.

    u_i is the update of step i without lr (Adam's :math:`\hat m/(\sqrt{\hat v} + eps)`), and with :math:`\rho = 1 - lr
    \cdot weight\_decay` the weights are :math:`w_{start} = \rho^T`, :math:`w_i = (1-\rho)\rho^{T-1-i}`, i from 0; they sum
    to 1.

    Returns
    -------
    (w_start, w) : float and array of shape (steps,)
    """
    rho = 1 - lr * weight_decay
    return rho**steps, (1 - rho) * rho ** np.arange(steps - 1, -1, -1.0)


def coupled_to_lr(decay: float, lr: npt.ArrayLike) -> np.ndarray:
    r"""weight_decay of torch's AdamW that makes its decay the fully decoupled :math:`\theta \leftarrow (1-decay)\theta`.

    decay/lr, to be set anew whenever lr changes.
    """
    return decay / np.asarray(lr, float)


class Uncorrected(NamedTuple):
    """The hyperparameters of an Adam without bias corrections at each step."""

    lr: np.ndarray
    eps: np.ndarray


def uncorrected_schedule(lr: float, beta1: float, beta2: float, eps: float, t: npt.ArrayLike) -> Uncorrected:
    r"""The schedule under which Adam without corrections takes Adam's steps.

    .. math::
        lr_t = lr \frac{\sqrt{1 - beta2^t}}{1 - beta1^t} \qquad eps_t = eps \sqrt{1 - beta2^t}
    """
    t = np.asarray(t, float)
    root = np.sqrt(1 - beta2**t)
    return Uncorrected(lr * root / (1 - beta1**t), eps * root)


def smallest_correction(beta1: float, beta2: float) -> tuple[float, float]:
    r"""Where the factor :math:`\sqrt{1 - beta2^t}/(1 - beta1^t)` is smallest over real t, and its value there.

    Its derivative is 0 where :math:`2(e^{bt} - 1)/b = (e^{at} - 1)/a` with :math:`a = -\log beta1`, :math:`b = -\log
    beta2`. At t → 0 the left side is the larger, so that the factor falls first; it rises again, to 1, exactly
    if beta1 < beta2: then a > b, and the right side overtakes.

    Returns
    -------
    (t, factor) : floats
        ``(inf, 1)`` for beta1 ≥ beta2, where it only falls.
    """
    if beta1 >= beta2:
        return math.inf, 1.0
    if beta1 == 0:  # no first correction: the factor rises from √(1 − beta2) at t = 1
        return 1.0, math.sqrt(1 - beta2)
    a, b = -math.log(beta1), -math.log(beta2)

    def falls(t: float) -> bool:
        return 2 * math.expm1(b * t) / b > math.expm1(a * t) / a

    low, high = 0.0, 1.0
    while falls(high):
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) else (low, middle)
    return high, math.sqrt(-math.expm1(-b * high)) / -math.expm1(-a * high)


def sparse_adam_eps(eps: float, beta2: float, t: npt.ArrayLike) -> np.ndarray:
    """Adam's eps at each step that makes it SparseAdam on a gradient without zeros: eps/√(1 − beta2ᵗ)."""
    return eps / np.sqrt(1 - beta2 ** np.asarray(t, float))


def rectifier_limit(x: np.ndarray) -> np.ndarray:
    r"""RAdam's rectifier at step t as beta2 → 1 with x = (1 − beta2)·t held: :math:`\sqrt{1 - x/(e^x - 1)}`.

    Near 0 it is √(x/2), not linear in x.
    """
    x = np.asarray(x, float)
    return np.sqrt(1 - x / np.expm1(x))


def warmup_period(beta2: float) -> float:
    r"""Effective length of RAdam's warm-up, :math:`\sum_t (1 - r_t)` in steps, to first order in 1 − beta2.

    :math:`I/(1 - beta2)` with :math:`I = \int_0^\infty 1 - \sqrt{1 - x/(e^x-1)}\,dx = 1.0292`: 3% longer than that of a
    linear warm-up over :math:`2/(1-beta2)` steps. Their shapes differ by up to 0.23 of lr.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    u = (nodes + 1) / 2 * math.sqrt(40.0)  # x = u², which takes the root at 0 away
    integral = np.sum(weights * (1 - rectifier_limit(u * u)) * 2 * u) * math.sqrt(40.0) / 2
    return float(integral) / (1 - beta2)
