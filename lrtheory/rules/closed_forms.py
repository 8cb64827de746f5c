r"""Closed forms that rules state as facts: thresholds of stability, bounds on a step, gains.

At the threshold a run flips sign at every step: an eigenvalue of the linear step is −1. Setting :math:`z' = -z` in the
rule's formula and solving for h gives each threshold below. For preconditioned rules h is the curvature of the
*preconditioned* loss, :math:`h/(\sqrt{\hat v} + eps)`, with the preconditioner held; for Adam in use it drifts, and
training hovers at the threshold (Cohen et al. 2022, 2207.14484).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .facts import Form

HELD = "the preconditioner is held"
EXACT = "exact on a quadratic"


def gradient_descent_threshold(lr: Any) -> Any:
    """2/lr."""
    return 2 / lr


def heavy_ball_threshold(lr: Any, momentum: Any, dampening: Any = 0.0) -> Any:
    """2(1+μ)/(lr(1−τ)); also RMSprop with momentum, which has no dampening."""
    return 2 * (1 + momentum) / (lr * (1 - dampening))


def nesterov_threshold(lr: Any, momentum: Any) -> Any:
    """2(1+μ)/((1+2μ)lr)."""
    return 2 * (1 + momentum) / ((1 + 2 * momentum) * lr)


def adam_threshold(lr: Any, beta1: Any, weight_decay: Any = 0.0) -> Any:
    """(1+β₁)/(1−β₁)·(2/lr − wd), with decoupled decay wd."""
    return (1 + beta1) / (1 - beta1) * (2 / lr - weight_decay)


def nadam_threshold(lr: Any, beta1: Any, mu: Any, mu_next: Any, weight_decay: Any = 0.0) -> Any:
    """(1+β)(2/lr − wd)/((1+β)(1−μ_t) + (1−β)μ_{t+1}), with decoupled decay wd.

    At μ_t = μ_{t+1} = μ this is 2(1+β)/((1+β−2μβ)lr).
    """
    return (1 + beta1) * (2 / lr - weight_decay) / ((1 + beta1) * (1 - mu) + (1 - beta1) * mu_next)


def adan_threshold(lr: Any, beta1: Any, beta2: Any, weight_decay: Any = 0.0, proximal: bool = True) -> Any:
    """(2 ± lr·wd)/(lr((1−β₁)/(1+β₁) + 2β₂(1−β₂)/(1+β₂))): plus with proximal decay, minus without."""
    gain = (1 - beta1) / (1 + beta1) + 2 * beta2 * (1 - beta2) / (1 + beta2)
    return (2 + lr * weight_decay * (1 if proximal else -1)) / (lr * gain)


def schedule_free_threshold(lr: Any, beta1: Any) -> Any:
    """2/((1−β₁)lr): z moves by lr, of which (1−β₁) is seen where gradients are taken; the average stands still."""
    return 2 / ((1 - beta1) * lr)


def delayed_threshold(lr: Any, delay: Any) -> Any:
    """2 sin(π/(2(2d+1)))/lr for SGD whose gradient is d steps old."""
    return 2 * np.sin(np.pi / (2 * (2 * delay + 1))) / lr


def nadam_momentum(beta1: Any, momentum_decay: Any, step: Any) -> Any:
    """NAdam's μ_t, rising from about β₁/2 to β₁."""
    return beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))


def adam_form(h: Any, decoupled: bool = False, assumed: str = "") -> Form:
    """The threshold of Adam and of rules that average as it does."""
    decay = h.weight_decay if decoupled else 0.0
    form = "(1 + beta1)/(1 − beta1)·" + ("(2/lr − weight_decay)" if decay else "2/lr")
    return Form(adam_threshold(h.lr, h.beta1, decay), form, HELD + assumed)


def sum_gain(momentum: float, dampening: float = 0.0, nesterov: bool = False) -> float | str:
    """Gain of a buffer that sums gradients: (1 − dampening)/(1 − momentum), 1/(1 − momentum) with nesterov."""
    if momentum >= 1:
        return f"with momentum={momentum:g} the buffer grows without bound; below 1 it settles"
    return (1.0 if momentum == 0 or nesterov else 1 - dampening) / (1 - momentum)


def over(lr: float, scale: float) -> float:
    """lr/scale, and inf where the scale is 0."""
    return lr / scale if scale > 0 else math.inf


def adam_bound(beta1: float, beta2: float, t: int | None = None) -> float:
    r"""Adam's largest step over lr.

    .. math::
        \frac{1-\beta_1}{\sqrt{1-\beta_2}} \sqrt{\frac{1-q^t}{1-q}} \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t},
            \qquad q = \beta_1^2/\beta_2

    It is 1 at t = 1 and grows with t: for β₁² < β₂ to :math:`(1-\beta_1)/\sqrt{(1-\beta_2)(1-q)}`, otherwise without
    bound. Attained by :math:`g_s \propto (\beta_1/\beta_2)^{t-s}`.
    """
    if beta2 == 0:  # v is the last square alone: a small last gradient leaves the older ones unbounded
        return 1.0 if t == 1 or beta1 == 0 else math.inf
    q = beta1 * beta1 / beta2
    if t is None:
        return (1 - beta1) / math.sqrt((1 - beta2) * (1 - q)) if q < 1 else math.inf
    corrections = math.sqrt(one_minus_power(beta2, t)) / one_minus_power(beta1, t)
    return (1 - beta1) / math.sqrt(1 - beta2) * math.sqrt(geometric(q, t)) * corrections


def nadam_bound(beta1: float, beta2: float, momentum_decay: float, t: int | None = None) -> float:
    r"""NAdam's, over lr: :math:`\sqrt{\sum_s c_s^2/w_s}` with the weights of gradients :math:`c_s` and of their squares :math:`w_s`.

    As t grows, with :math:`q = \beta_1^2/\beta_2 < 1` and the momentum risen to β₁, it tends to

    .. math:: \frac{1-\beta_1}{\sqrt{1-\beta_2}} \sqrt{(1+\beta_1)^2 + \beta_1^2 \frac{q}{1-q}} ,

    but it is larger before, while the momentum is lower and the latest gradient counts for more: for all steps (t = ``None``) it
    is looked for at every t up to 1000 and at 4000 later ones, and good to 1e-6. Attained by :math:`g_s = c_s/w_s`.
    """
    if beta2 == 0:
        return math.inf if beta1 and (t is None or t > 1) else 1.0
    q = beta1 * beta1 / beta2
    if t is None and q >= 1:
        return math.inf
    if t is not None:
        return float(_nadam_bounds(beta1, beta2, momentum_decay, np.array([t]))[0])
    rise = 1 / (momentum_decay * -math.log(0.96)) if momentum_decay else 1.0
    later = np.geomspace(1000, 1000 + 50 * max(1 / (1 - beta2), rise), 4000)
    return float(_nadam_bounds(beta1, beta2, momentum_decay, np.concatenate([np.arange(1, 1001), later])).max())


def _nadam_bounds(beta1: float, beta2: float, momentum_decay: float, t: np.ndarray) -> np.ndarray:
    q, short = beta1 * beta1 / beta2, np.arange(1, 1002)
    products = np.cumprod(nadam_momentum(beta1, momentum_decay, short))
    gone = np.append(products, 0.0)  # of more than a thousand momenta nothing is left
    at = np.minimum(t, 1002).astype(int)
    mu, mu_next = (nadam_momentum(beta1, momentum_decay, s) for s in (t, t + 1))
    of_g, of_m = (1 - mu) / (1 - gone[at - 1]), mu_next / (1 - gone[np.minimum(at, 1001)])
    latest = of_g + of_m * (1 - beta1)
    older = q * np.array([geometric(q, s - 1) for s in t])
    v_hat = np.array([one_minus_power(beta2, s) for s in t])
    return np.sqrt(v_hat / (1 - beta2) * (latest**2 + (of_m * (1 - beta1)) ** 2 * older))


def rmsprop_bound(alpha: float, momentum: float = 0.0, t: int | None = None) -> float:
    r"""RMSprop's, over lr: :math:`\frac{1-\mu^t}{1-\mu} \frac1{\sqrt{1-\alpha}}`.

    Without momentum μ it is attained at every t by a gradient after zeros. With momentum it is attained at t = 1 only,
    and approached by gradients that grow ever faster, so that each is alone in its average.
    """
    if alpha >= 1 or (t is None and momentum >= 1):
        return math.inf
    return (1 / (1 - momentum) if t is None else geometric(momentum, t)) / math.sqrt(1 - alpha)


def centered_rmsprop_bound(alpha: float, t: int | None = None) -> float:
    r"""Centered RMSprop's without momentum, over lr: :math:`\sqrt{1/(1-\alpha) + \alpha^{-t}}`; none for all t.

    With weights :math:`w_s = (1-\alpha)\alpha^{t-s}`, :math:`v - \bar g^2 = g^T(diag(w) - ww^T)g`. Its inverse is
    :math:`diag(1/w) + 11^T/\alpha^t`, whose last entry is the square of the bound. Attained by equal gradients
    :math:`\alpha^{-t}` and a last one of :math:`\alpha^{-t} + 1/(1-\alpha)`.
    """
    if alpha >= 1 or alpha == 0 or t is None:
        return math.inf
    return math.sqrt(1 / (1 - alpha) + alpha**-t)


def adamax_bound(beta1: float, beta2: float, t: int | None = None) -> float:
    r"""Adamax's, over lr: :math:`\frac{1-\beta_1}{1-\beta_1^t} \frac{1-(\beta_1/\beta_2)^t}{1-\beta_1/\beta_2}`.

    For β₁ < β₂ it grows to :math:`(1-\beta_1)/(1-\beta_1/\beta_2)`, otherwise without bound. Attained by
    :math:`g_s \propto \beta_2^{s-t}`, gradients that fall as fast as the maximum is forgotten.
    """
    if beta2 == 0:
        return 1.0 if t == 1 or beta1 == 0 else math.inf
    ratio = beta1 / beta2
    if t is None:
        return (1 - beta1) / (1 - ratio) if ratio < 1 else math.inf
    return (1 - beta1) / one_minus_power(beta1, t) * geometric(ratio, t)


def slowest_root(rate: float, momentum: float, dampening: float, nesterov: bool) -> float:
    r"""What coupled decay alone leaves of a parameter of SGD in a step, in the long run, for rate = lr·weight_decay.

    The largest modulus of the roots of :math:`x^2 - (1 + \mu - rate(1-\tau))x + \mu`, with nesterov of :math:`x^2 -
    (1+\mu)(1-rate)x + \mu(1-rate)`.
    """
    if rate == 0:
        return 1.0
    if momentum == 0:
        return abs(1 - rate)
    if nesterov:
        total, product = (1 + momentum) * (1 - rate), momentum * (1 - rate)
    else:
        total, product = 1 + momentum - rate * (1 - dampening), momentum
    discriminant = total * total - 4 * product
    return math.sqrt(product) if discriminant <= 0 else (abs(total) + math.sqrt(discriminant)) / 2


def geometric(ratio: float, steps: float) -> float:
    """1 + ratio + … + ratio^(steps−1), also at ratio 1 and near it."""
    if ratio == 1:
        return float(steps)
    if ratio == 0:
        return 1.0 if steps > 0 else 0.0
    try:
        return math.expm1(steps * math.log(ratio)) / (ratio - 1)
    except OverflowError:
        return math.inf


def one_minus_power(beta: float, t: float) -> float:
    """1 − βᵗ for 0 ≤ β < 1, formed so that nothing cancels."""
    return 1.0 if beta == 0 else -math.expm1(t * math.log(beta))


def sgd_equilibrium(lr: float, weight_decay: float, momentum: float, gradient_norm: float) -> tuple[float, float]:
    """Norm of a scale-invariant weight at equilibrium, and the cosine of the angle it turns by in a step.

    ``gradient_norm`` is ‖w‖·‖g‖; dampening is taken out of lr. :mod:`lrtheory.theory.invariance` derives both.
    """
    rate = lr * weight_decay
    fourth = lr * gradient_norm**2 / (weight_decay * (1 - momentum) * (2 - rate / (1 + momentum)))
    return fourth**0.25, 1 - rate / (1 + momentum)


def adamw_equilibrium(lr: float, weight_decay: float, beta1: float, coordinates: int) -> tuple[float, float]:
    """The same for AdamW, whose normalised gradient has as its square norm the number of coordinates."""
    rho = 1 - lr * weight_decay
    gathered = (1 - beta1) * (1 + rho * beta1) / ((1 + beta1) * (1 - rho * beta1))
    return lr * math.sqrt(coordinates * gathered / (1 - rho * rho)), (rho + beta1) / (1 + rho * beta1)


def average_length(beta2: float, t: int) -> float:
    r"""RAdam's ρ_t as printed: :math:`\rho_\infty - 2t \cdot beta2^t/(1 - beta2^t)`, :math:`\rho_\infty = 2/(1 - beta2) - 1`.

    Fit for beta2 up to 0.9999 or so, where the difference keeps 8 digits.
    """
    power = beta2**t
    return 2 / (1 - beta2) - 1 - 2 * t * power / (1 - power)


def unnormalised_steps(beta2: float, threshold: float = 5.0) -> float:
    """How many of RAdam's first steps are those of SGD with a bias-corrected momentum: while ρ_t ≤ threshold.

    ρ_t < t for every beta2 > 0, and it rises to 2/(1 − beta2) − 1. So at torch's threshold of 5 they are five if beta2 is
    above 0.8398, where ρ_6 = 5, more below, and all of them, inf, for beta2 ≤ 2/3; at the paper's threshold of 4 they are
    four if beta2 is above 0.7733, and all of them for beta2 ≤ 3/5.

    Parameters
    ----------
    beta2 : in [0, 1)
    threshold : 5 in torch, 4 in the paper
    """
    if 2 / (1 - beta2) - 1 <= threshold:
        return math.inf
    t = 1
    while average_length(beta2, t) <= threshold:
        t += 1
    return t - 1


def times(lr: float, gain: float | str) -> float | str:
    """Lr times a gain, or why there is no gain."""
    return gain if isinstance(gain, str) else lr * gain


def adam_steady(h: Any, g: float, gain: float = 1.0) -> float:
    """E of Adam and its kin under a constant gradient: lr·gain/(√(g² + eps_root) + eps)."""
    return h.lr * gain / (math.hypot(g, getattr(h, "eps_root", 0.0) ** 0.5) + h.eps)
