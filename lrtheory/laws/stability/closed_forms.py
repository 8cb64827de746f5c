r"""The largest curvature that a constant lr survives, in closed form.

At the threshold a run flips sign at every step: an eigenvalue of the linear step is −1. Setting :math:`z' = -z` in the
rule's formula and solving for h gives each form below. For preconditioned rules h is the curvature of the *preconditioned*
loss, :math:`h/(\sqrt{\hat v} + eps)`, with the preconditioner held; for Adam in use it drifts, and training hovers at
the threshold (Cohen et al. 2022, 2207.14484).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...quadratic.linear_step import REASONS
from ...rules import Rule


def gradient_descent(lr: Any) -> Any:
    """2/lr."""
    return 2 / lr


def heavy_ball(lr: Any, momentum: Any, dampening: Any = 0.0) -> Any:
    """2(1+μ)/(lr(1−τ)); also RMSprop with momentum, which has no dampening."""
    return 2 * (1 + momentum) / (lr * (1 - dampening))


def nesterov(lr: Any, momentum: Any) -> Any:
    """2(1+μ)/((1+2μ)lr)."""
    return 2 * (1 + momentum) / ((1 + 2 * momentum) * lr)


def adam(lr: Any, beta1: Any, weight_decay: Any = 0.0) -> Any:
    """(1+β₁)/(1−β₁)·(2/lr − wd), with decoupled decay wd."""
    return (1 + beta1) / (1 - beta1) * (2 / lr - weight_decay)


def nadam(lr: Any, beta1: Any, mu: Any, mu_next: Any, weight_decay: Any = 0.0) -> Any:
    """(1+β)(2/lr − wd)/((1+β)(1−μ_t) + (1−β)μ_{t+1}), with decoupled decay wd.

    At μ_t = μ_{t+1} = μ this is 2(1+β)/((1+β−2μβ)lr).
    """
    return (1 + beta1) * (2 / lr - weight_decay) / ((1 + beta1) * (1 - mu) + (1 - beta1) * mu_next)


def adan(lr: Any, beta1: Any, beta2: Any, weight_decay: Any = 0.0, proximal: bool = True) -> Any:
    """(2 ± lr·wd)/(lr((1−β₁)/(1+β₁) + 2β₂(1−β₂)/(1+β₂))): plus with proximal decay, minus without."""
    gain = (1 - beta1) / (1 + beta1) + 2 * beta2 * (1 - beta2) / (1 + beta2)
    return (2 + lr * weight_decay * (1 if proximal else -1)) / (lr * gain)


def with_coupled_decay(threshold: Any, weight_decay: Any) -> Any:
    """Decay in the gradient adds to the curvature: the threshold is that of h + wd."""
    return threshold - weight_decay


def delayed_gradient(lr: Any, delay: Any) -> Any:
    """2 sin(π/(2(2d+1)))/lr for SGD whose gradient is d steps old."""
    return 2 * np.sin(np.pi / (2 * (2 * delay + 1))) / lr


def nadam_momentum(beta1: Any, momentum_decay: Any, step: Any) -> Any:
    """NAdam's μ_t, rising from about β₁/2 to β₁."""
    return beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))


@dataclass(frozen=True)
class Threshold:
    """The largest curvature a constant lr survives.

    Attributes
    ----------
    curvature : float or None
        ``None`` where the rule has no threshold; negative or 0 where no curvature above 0 is stable.
    of : str
        Which curvature: of the loss, or of the preconditioned loss.
    formula : str
        In the code's names.
    reason : str
        Why there is none, or what was assumed.
    """

    curvature: float | None
    of: str
    formula: str
    reason: str


_LOSS = "the loss: the largest eigenvalue h of its Hessian"
_PRECONDITIONED = "the preconditioned loss: the largest eigenvalue of P H with P = diag(1/(√v̂ + eps))"


def threshold(rule: Rule, hyper: Any, *, step: int | None = None) -> Threshold:
    """The stability threshold of a rule with its numbers.

    Parameters
    ----------
    rule : Rule
        A wrapper is refused: clipping shortens large steps, and the threshold inside is that of the rule.
    hyper : numbers of the rule, known ones
    step : int, optional
        For NAdam, whose threshold moves with its momentum: the step t ≥ 1. Otherwise its end.

    Raises
    ------
    TypeError
        For what is no rule, or the numbers of another.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no Rule: ask for the threshold of the rule inside")
    if not isinstance(hyper, rule.Hyper):
        raise TypeError(f"{rule!r} takes {rule.Hyper.__name__} from its .hyper(...), not {type(hyper).__name__}")
    of = _LOSS if rule.name == "sgd" else _PRECONDITIONED
    missing = _missing(rule, hyper)
    if missing:
        return Threshold(None, of, "none", missing)
    value, formula, assumed = _FORMS[rule.name](rule, hyper, step)
    if getattr(hyper, "weight_decay", 0) and not rule.options.get("decoupled") and rule.name != "adan":
        if rule.name == "sgd":
            value, formula = with_coupled_decay(value, hyper.weight_decay), f"{formula} − weight_decay"
        else:
            assumed += "; decay is part of the gradient and preconditioned with it: read P(H + weight_decay) for P H"
    if rule.options.get("maximize"):
        assumed += "; with maximize the loss is the negative of what the gradient is of"
    return Threshold(float(value), of, formula, assumed)


def _missing(rule: Rule, hyper: Any) -> str:
    if rule.name not in _FORMS:
        return REASONS.get(rule.name, "its step on a quadratic is not known to be linear")
    if not hyper.lr > 0:
        return "at lr 0 nothing moves"
    if (getattr(hyper, "momentum", None) or 0) >= 1:
        return "with momentum of 1 or more nothing is forgotten, and no curvature is stable"
    if rule.name == "sgd" and hyper.momentum and hyper.dampening >= 1:
        return "with dampening of 1 or more steps do not descend"
    if rule.name == "adagrad" and hyper.lr_decay:
        return "its lr falls over the run"
    return ""


_Form = tuple[Any, str, str]
_HELD = "the preconditioner is held"


def _sgd(rule: Rule, hyper: Any, step: int | None) -> _Form:
    if rule.options.get("nesterov"):
        return nesterov(hyper.lr, hyper.momentum), "2(1 + momentum)/((1 + 2 momentum) lr)", "exact on a quadratic"
    if not hyper.momentum:
        return gradient_descent(hyper.lr), "2/lr", "exact on a quadratic"
    form = "2(1 + momentum)/(lr (1 − dampening))"
    return heavy_ball(hyper.lr, hyper.momentum, hyper.dampening), form, "exact on a quadratic"


def _rmsprop(rule: Rule, hyper: Any, step: int | None) -> _Form:
    return heavy_ball(hyper.lr, hyper.momentum or 0.0), "2(1 + momentum)/lr", _HELD


def _adagrad(rule: Rule, hyper: Any, step: int | None) -> _Form:
    return gradient_descent(hyper.lr), "2/lr", _HELD


def _adam(rule: Rule, hyper: Any, step: int | None) -> _Form:
    decay = hyper.weight_decay if rule.options.get("decoupled") else 0.0
    form = "(1 + beta1)/(1 − beta1)·" + ("(2/lr − weight_decay)" if decay else "2/lr")
    after = (
        ", and the rectifier has risen to 1: before, the threshold is higher by its inverse"
        if rule.name == "radam"
        else ""
    )
    return adam(hyper.lr, hyper.beta1, decay), form, _HELD + after


def _nadam(rule: Rule, hyper: Any, step: int | None) -> _Form:
    decay = hyper.weight_decay if rule.options.get("decoupled") else 0.0
    end = hyper.beta1 * (1 if hyper.momentum_decay else 0.5)
    mu, mu_next = (
        (end, end) if step is None else (nadam_momentum(hyper.beta1, hyper.momentum_decay, t) for t in (step, step + 1))
    )
    form = "(1 + beta1)(2/lr − weight_decay)/((1 + beta1)(1 − μ_t) + (1 − beta1) μ_{t+1})"
    when = "at the end, with μ at its last value" if step is None else f"at step {step}, with the product of all μ gone"
    return nadam(hyper.lr, hyper.beta1, mu, mu_next, decay), form, f"{_HELD}, {when}"


def _adan(rule: Rule, hyper: Any, step: int | None) -> _Form:
    proximal = bool(rule.options["proximal"])
    value = adan(hyper.lr, hyper.beta1, hyper.beta2, hyper.weight_decay, proximal)
    sign = "+" if proximal else "−"
    return value, f"(2 {sign} lr weight_decay)/(lr ((1−beta1)/(1+beta1) + 2 beta2 (1−beta2)/(1+beta2)))", _HELD


_FORMS: dict[str, Callable[[Rule, Any, int | None], _Form]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamax": _adam,
    "adabelief": _adam,
    "radam": _adam,
    "nadam": _nadam,
    "adan": _adan,
}
