"""The largest curvature that a constant lr survives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..numbers import check_hyper
from ..rules import Rule
from ..rules.closed_forms import (
    adam_threshold,
    adan_threshold,
    delayed_threshold,
    gradient_descent_threshold,
    heavy_ball_threshold,
    nadam_momentum,
    nadam_threshold,
    nesterov_threshold,
    schedule_free_threshold,
)
from ..rules.facts import Form
from .asking import number

__all__ = [
    "Threshold", "adam_threshold", "adan_threshold", "delayed_threshold", "gradient_descent_threshold",
    "heavy_ball_threshold", "nadam_momentum", "nadam_threshold", "nesterov_threshold", "schedule_free_threshold",
    "threshold", "with_coupled_decay",
]  # fmt: skip


def with_coupled_decay(threshold: Any, weight_decay: Any) -> Any:
    """Decay in the gradient adds to the curvature: the threshold is that of h + wd."""
    return threshold - weight_decay


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
    """The stability threshold of a rule with its hyperparameters: the closed form that the rule states, or the curvature
    where the spectral radius of its linear step passes 1.

    Parameters
    ----------
    rule : Rule
        A wrapper is refused: clipping shortens large steps, and the threshold inside is that of the rule.
    hyper : hyperparameters of the rule, known ones
    step : int, optional
        For NAdam, whose threshold moves with its momentum: the step t ≥ 1. Otherwise its end.

    Raises
    ------
    TypeError
        For what is no rule, or the hyperparameters of another.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} is no Rule: ask for the threshold of the rule inside")
    check_hyper(rule, hyper)
    facts = rule.facts
    linear = facts.divides_by == "nothing"
    of = _LOSS if linear else _PRECONDITIONED
    found = _form(rule, hyper, step)
    if isinstance(found, str):
        return Threshold(None, of, "none", found)
    value, formula, assumed = found
    if rule.array_rule.penalty is not None and number(hyper, "weight_decay") and facts.threshold is not None:
        if linear:
            value, formula = with_coupled_decay(value, hyper.weight_decay), f"{formula} − weight_decay"
        else:
            assumed += "; decay is part of the gradient and preconditioned with it: read P(H + weight_decay) for P H"
    if rule.options.get("maximize"):
        assumed += "; with maximize the loss is the negative of what the gradient is of"
    return Threshold(float(value), of, formula, assumed)


def _form(rule: Rule, hyper: Any, step: int | None) -> Form | str:
    facts = rule.facts
    if facts.threshold is None and isinstance(facts.memory, str):
        return facts.memory
    if hasattr(hyper, "lr") and not hyper.lr > 0:
        return "at lr 0 nothing moves"
    if number(hyper, "momentum") >= 1:
        return "with momentum of 1 or more nothing is forgotten, and no curvature is stable"
    return facts.threshold(hyper, step) if facts.threshold else _measured(rule, hyper)


def _measured(rule: Rule, hyper: Any) -> Form | str:
    import jax

    from ..quadratic import critical_curvature, linear_step

    with jax.enable_x64(True):
        found = float(
            critical_curvature(linear_step(rule, hyper), 1 / number(hyper, "lr") if number(hyper, "lr") else 1.0)
        )
    if found != found:
        return "the spectral radius of its linear step passes 1 at no curvature from 1e-2/lr to 1e4/lr"
    return Form(found, "spectral radius of the linear step = 1", "read from the rule's own step")
