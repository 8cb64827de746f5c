r"""The largest step that one coordinate can take, whatever the gradients were."""

from __future__ import annotations

import math
from typing import Any

from ...rules import Rule
from ..no_law import NoLaw, numbers_of
from .weighted import geometric, one_minus_power


def largest_step(rule: Rule, hyper: Any, t: int | None = None) -> float:
    """Sharp bound on one coordinate's step t, decoupled decay left out.

    Sharp at eps = 0: some stream of gradients attains it, or comes as near as wanted (RMSprop with momentum). A larger
    eps only makes steps smaller. Coupled decay is part of the gradient and changes nothing.

    Parameters
    ----------
    rule, hyper : Rule and its numbers
    t : step, from 1
        ``None`` for the bound on all steps; inf where they have none.

    Returns
    -------
    float
        In the units of lr.

    Raises
    ------
    NoLaw
        Where steps grow with the gradient, or depend on the rest of the tensor; the message says which.
    """
    h = numbers_of(rule, hyper)
    if t is not None and (isinstance(t, bool) or not isinstance(t, int) or t < 1):
        raise ValueError(f"t={t!r}: steps are counted 1, 2, …; None is for all of them")
    lr = h.get("lr", 0.0)
    match rule.name:
        case "adam" if rule.options["amsgrad"] and h["beta1"] > h["beta2"]:
            raise NoLaw(f"{rule!r}: the bound with beta1 above beta2 is not known to be sharp; without amsgrad it is")
        case "adam":
            return lr * adam_bound(h["beta1"], h["beta2"], t)
        case "rmsprop" if rule.options["centered"]:
            return lr * centered_rmsprop_bound(h["alpha"], h.get("momentum", 0.0), t)
        case "rmsprop":
            return lr * rmsprop_bound(h["alpha"], h.get("momentum", 0.0), t)
        case "adamax":
            return lr * adamax_bound(h["beta1"], h["beta2"], t)
        case "adagrad":
            return lr / (1 + ((t or 1) - 1) * h["lr_decay"])
        case "lion" | "signum":
            return lr
        case "rprop":
            return h["step_size_max"]
    raise NoLaw(f"{rule!r}: {_UNBOUNDED[rule.name]}")


def adam_bound(beta1: float, beta2: float, t: int | None = None) -> float:
    r"""Adam's bound over lr.

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


def rmsprop_bound(alpha: float, momentum: float = 0.0, t: int | None = None) -> float:
    r"""RMSprop's, over lr: :math:`\frac{1-\mu^t}{1-\mu} \frac1{\sqrt{1-\alpha}}`.

    Without momentum μ it is attained at every t by a gradient after zeros. With momentum it is attained at t = 1 only,
    and approached by gradients that grow ever faster, so that each is alone in its average.
    """
    if alpha >= 1:
        return math.inf
    return _momentum_sum(momentum, t) / math.sqrt(1 - alpha)


def centered_rmsprop_bound(alpha: float, momentum: float = 0.0, t: int | None = None) -> float:
    r"""Centered RMSprop's without momentum, over lr: :math:`\sqrt{1/(1-\alpha) + \alpha^{-t}}`; none for all t.

    With weights :math:`w_s = (1-\alpha)\alpha^{t-s}`, :math:`v - \bar g^2 = g^T(diag(w) - ww^T)g`. Its inverse is
    :math:`diag(1/w) + 11^T/\alpha^t`, whose last entry is the square of the bound. Attained by equal gradients
    :math:`\alpha^{-t}` and a last one of :math:`\alpha^{-t} + 1/(1-\alpha)`.
    """
    if momentum:
        raise NoLaw("rmsprop(centered=True) with momentum: no sharp bound is known, and for all steps there is none")
    if alpha >= 1 or t is None:
        return math.inf
    return math.inf if alpha == 0 else math.sqrt(1 / (1 - alpha) + alpha**-t)


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


def _momentum_sum(momentum: float, t: int | None) -> float:
    if t is None:
        return 1 / (1 - momentum) if momentum < 1 else math.inf
    return geometric(momentum, t)


_LINEAR = "a step grows in proportion to the gradient, so that nothing bounds it; clipping does"
_WHOLE_TENSOR = "a coordinate's step depends on the norms of the whole tensor"
_UNBOUNDED = {
    "sgd": _LINEAR,
    "asgd": _LINEAR,
    "schedule_free_sgd": _LINEAR,
    "radam": f"in its first steps, which are not normalised, {_LINEAR}",
    "adadelta": "steps may grow by √(1 + rho) a step, since past steps set the next one's size; no bound holds for all",
    "sparse_adam": "bias corrections count all steps but averages only those that named the slice: a slice first named "
    "late moves by lr·(1−beta1)/√(1−beta2), and the bound depends on which steps named it",
    "nadam": "no closed form is known with its momentum schedule",
    "adan": "no closed form is known with its gradient differences",
    "adabelief": "a gradient that does not change leaves eps and eps_root alone to bound the step",
    "schedule_free_adamw": "no closed form is known for its two sequences",
    "lars": f"{_WHOLE_TENSOR}: their ratio, not the gradient's size, bounds it",
    "lamb": f"{_WHOLE_TENSOR}: the tensor's step has norm lr·‖p‖",
    "adafactor": f"{_WHOLE_TENSOR}: the tensor's step has root mean square min(lr, 1/√t)·max(eps2, rms(p))·d at most",
    "muon": "it depends on the matrix: at most lr·r times the largest singular value of the orthogonalised update",
}
