r"""Batch size, B → κB, by three methods, for gradients that are means over the batch.

``linear``
    One step on κ times as many examples for κ steps: lr·κ. For rules that are linear in the gradient, as long as it hardly
    changes over κ steps; on curvature h the two differ by κ(κ−1)/2·(lr·h)². Goyal et al. 2017 (1706.02677). Memories
    (momentum) are kept in steps, which for small lr·h makes no difference: Wang et al. 2023 (2307.15196).
``sde``
    The same stochastic differential equation: drift, noise and memory alike *per example*. Memories shorten,
    :math:`1 - \beta \to \kappa(1 - \beta)`. Adam and RMSprop, where the noise of the gradient dominates: lr·√κ, eps/√κ,
    v/κ; Malladi et al. 2022 (2205.10287), the square-root scaling rules. The rest is derived here from the same
    equations: decoupled weight_decay·√κ; RMSprop with momentum lr·κ^{3/2}; SGD with momentum lr·κ² (the buffer adds up
    1/(1−μ) gradients, and there are κ times fewer in the same memory: lr/(1−μ) grows by κ); Adagrad lr unchanged, since
    its sum of squares has κ times fewer terms, each κ times smaller.
``sqrt``
    Noise that dominates, and memories kept in steps: lr·√κ, numbers beside a root of squares /√κ, decoupled decay·√κ.
    What ``sde`` is without its time scales, and an argument without a theorem for the rules that normalise otherwise. For
    SGD it keeps the covariance of one step (Krizhevsky 2014, 1404.5997; Hoffer et al. 2017, 1705.08741): the path per
    example then slows down by √κ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..numbers import is_concrete
from ..rules import Rule
from ..rules.facts import BatchChange
from .result import Exactness

METHODS = ("linear", "sqrt", "sde")


class BatchRuleWarning(UserWarning):
    """A method was asked for that is derived for another family of rules."""


@dataclass(frozen=True)
class Answer:
    """A change, how exact it is, and what to say of it."""

    method: str
    change: BatchChange
    exactness: Exactness
    notes: tuple[str, ...]
    warning: str | None = None


def answer(rule: Rule, hyper: Any, batch: float, method: str | None) -> Answer:
    """The change of one rule.

    Raises
    ------
    ValueError
        Where no method is derived, or the conditions of the one asked for fail; the message says what can be done.
    """
    if method is not None and method not in METHODS:
        raise ValueError(
            f"method={method!r} must be one of {', '.join(METHODS)}, or None for the one derived for {rule!r}"
        )
    facts = rule.facts
    if facts.no_batch_rule or facts.divides_by is None:
        why = (
            facts.no_batch_rule
            or "what its step divides the gradient by is not known. Nearest: keep the hyperparameters and tune lr"
        )
        raise ValueError(f"{rule!r}: no rule for another batch size is known: {why}")
    if method is None:
        method = "linear" if _is_linear(rule) else "sde" if facts.sde else "sqrt"
    if method == "sde":
        return _sde(rule, hyper, batch)
    return _linear(rule, batch) if method == "linear" else _sqrt(rule)


def _is_linear(rule: Rule) -> bool:
    return rule.facts.divides_by == "nothing"


def _linear(rule: Rule, batch: float) -> Answer:
    powers, state = {"lr": 1.0}, dict.fromkeys(rule.facts.lr_in_state, 1.0)
    if _is_linear(rule):
        notes = (
            "linear: the gradient must hardly change over κ steps: on curvature h a step is off by "
            f"κ(κ−1)/2·(lr·h)² = {batch * (batch - 1) / 2:g}·(lr·h)² (Goyal et al. 2017, 1706.02677); warm up, and stay "
            "below the stability threshold",
            "memories (momentum) are kept in steps, so κ times as long in examples: no difference for small lr "
            '(2307.15196); method="sde" keeps them in examples',
        )
        return Answer("linear", BatchChange(powers, (), state, rule.facts.counts), "asymptotic", notes)
    reason = (
        f"the linear rule is derived for steps that are linear in the gradient; this one divides by the gradient's size, "
        "which falls as 1/√κ where noise dominates: its steps grow by √κ of themselves and would grow by κ^{3/2} in all. "
        f'Use method="{"sde" if rule.facts.sde else "sqrt"}"'
    )
    notes = (f"linear, though {reason}. It holds where the noise of the gradient is negligible at both batch sizes",)
    return Answer("linear", BatchChange(powers, (), state), "heuristic", notes, reason)


def _sqrt(rule: Rule) -> Answer:
    of_lr = dict.fromkeys(rule.facts.lr_in_state, 0.5)
    if _is_linear(rule):
        notes = (
            "sqrt: keeps the covariance of one step (1404.5997; 1705.08741), not the path per example, which slows down by √κ; "
            'for that use method="linear"',
        )
        return Answer("sqrt", BatchChange({"lr": 0.5}, (), of_lr), "heuristic", notes)
    # Gradients fall as 1/√κ where noise dominates, so numbers compared with their size follow; decay per example stays.
    powers = {"lr": 0.5}
    for name, units in rule.units.items():
        if name in rule.Hyper._fields and name not in ("lr", "weight_decay") and units.loss > 0:
            powers[name] = -0.5 * float(units.loss)
    if "weight_decay" in rule.Hyper._fields and rule.units["weight_decay"].loss == 0:
        powers["weight_decay"] = 0.5
    squares = {name: -1.0 for name in rule.State._fields if name in rule.units and rule.units[name].loss == 2}
    notes = (
        "sqrt: holds as far as the noise of the gradient dominates its mean at both batch sizes; where it does not, the best lr "
        "grows less and stops growing (1812.06162, 2405.14578)",
        "memories (betas) are kept in steps, so κ times as long in examples"
        + (
            '; method="sde" keeps them in examples'
            if rule.facts.sde
            else "; no rule that keeps them in examples is derived"
        ),
    )
    return Answer("sqrt", BatchChange(powers, (), {**squares, **of_lr}), "heuristic", notes)


def _sde(rule: Rule, hyper: Any, batch: float) -> Answer:
    if rule.facts.sde is None:
        other = "linear" if _is_linear(rule) else "sqrt"
        raise ValueError(f'{rule!r}: method="sde" is not derived for it. Nearest: method="{other}", which is weaker')
    change = rule.facts.sde(hyper)
    memories = tuple(name for name in change.memories if np.any(np.asarray(getattr(hyper, name)) != 0))
    _check_memories(rule, hyper, memories, batch)
    notes = [
        "sde: same drift, noise and memory per example in the limit of small steps"
        + (
            ", where the noise of the gradient dominates its mean at both batch sizes" if change.noise_dominates else ""
        ),
        change.source or "derived here from the same equations, and checked against moments and runs",
    ]
    if memories:
        notes.append(
            f"memories are kept in examples: 1 − β → κ(1 − β) for {', '.join(memories)}; β^κ is the same to first order"
        )
    if change.powers["lr"] > 1:
        notes.append(
            "lr takes one more factor of κ than without momentum: the buffer adds up 1/(1 − momentum) gradients, and has κ times "
            "fewer of them in the same memory"
        )
    return Answer("sde", change._replace(memories=memories), "statistical", tuple(notes))


def _check_memories(rule: Rule, hyper: Any, memories: tuple[str, ...], batch: float) -> None:
    for name in memories:
        value = getattr(hyper, name)
        if not is_concrete(value):
            raise TypeError(f"{rule!r}: {name} is traced; rescale takes numbers that are known")
        shortest = float(np.min(np.asarray(value)))
        left = 1 - batch * (1 - shortest)
        if left < 1e-9:  # 10·(1 − 0.9) rounds to less than 1
            raise ValueError(
                f'{rule!r}: batch={batch:g} is impossible by method="sde": {name}={shortest:g} remembers '
                f"1/(1 − {name}) = {1 / (1 - shortest):.4g} steps, and with κ times fewer steps in the same examples "
                f"none would be left to remember ({name} would be {0.0 if abs(left) < 1e-9 else left:.3g}). Nearest: κ below "
                f"{1 / (1 - shortest):.4g}, {name}^κ = {shortest**batch:.3g} set by hand, or "
                f'method="{"linear" if _is_linear(rule) else "sqrt"}", which keeps memories in steps'
            )


def changed_hyper(hyper: Any, change: BatchChange, batch: float) -> Any:
    """The numbers after the change, known ones to fifteen digits: 1 − 4·(1 − 0.9) is 0.6, not 0.6000000000000001."""
    powers = {**change.powers, **dict.fromkeys(change.counts, -1.0)}
    new = {
        name: _tidy(getattr(hyper, name) * batch**power)
        for name, power in powers.items()
        if name in hyper._fields and getattr(hyper, name) is not None
    }
    new.update({name: _tidy(1 - batch * (1 - getattr(hyper, name))) for name in change.memories})
    return hyper._replace(**new)


def _tidy(value: Any) -> Any:
    return float(f"{value:.15g}") if isinstance(value, float) else value


def changed_state(state: Any, change: BatchChange, batch: float) -> Any:
    """The state after the change: κ times fewer steps taken, averages as the new batch would have them."""

    def times(x: Any, power: float) -> Any:
        return jnp.round(x / batch).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.integer) else x * batch**power

    powers = {**dict.fromkeys(change.counts, -1.0), **change.state}
    new = {
        name: jax.tree.map(lambda x, power=power: times(x, power), getattr(state, name))
        for name, power in powers.items()
        if name in state._fields
    }
    return state._replace(**new)
