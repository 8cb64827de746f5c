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
    Rules that normalise an *average* (signum, Lion, Muon): lr·κ. The average keeps its memory in examples, and with it its
    ratio of signal to noise, so that a step is as often right as it was, and there are κ times fewer. In the limit of
    1 − β → 0 that is exact whether or not noise dominates. For Lion, whose sign is taken of β₁·m + (1 − β₁)·g with the
    latest gradient apart, 1 − β₁ → √κ(1 − β₁).
``half-life``
    As ``sqrt``, but the averages of squares keep their memory in examples, β → β^κ (2507.07101), while averages of gradients
    keep theirs in steps. There is no κ from which on it is impossible, and where momentum is short against the run it is
    closer than ``sde``: on a noisy quadratic Adam's loss was off by 5 % at κ = 4 and 11 % at 8, by ``sde`` 8 % and 17 %.
    ``sde`` holds where momentum matters, and only for κ(1 − β) well below 1.
``sqrt``
    Noise that dominates, and memories kept in steps: lr·√κ, numbers beside a root of squares /√κ, decoupled decay·√κ.
    What ``sde`` is without its time scales, and an argument without a theorem for the rules that normalise otherwise. For
    SGD it keeps the covariance of one step (Krizhevsky 2014, 1404.5997; Hoffer et al. 2017, 1705.08741): the path per
    example then slows down by √κ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..numbers import is_concrete
from ..rules import Rule
from ..rules.facts import BatchChange
from .result import Exactness

METHODS = ("linear", "sqrt", "sde", "half-life")


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
    half_lives: tuple[str, ...] = ()


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
    if method == "half-life":
        return _half_life(rule)
    return _linear(rule, batch) if method == "linear" else _sqrt(rule)


def _is_linear(rule: Rule) -> bool:
    return rule.facts.divides_by == "nothing"


def _linear(rule: Rule, batch: float) -> Answer:
    powers, counts = {"lr": 1.0}, rule.facts.counts
    # What is under way has the noise of the old batch, of which κ times the lr would make too much.
    state = dict.fromkeys(rule.facts.lr_in_state, 1.0) | dict.fromkeys(rule.facts.under_way, -0.5)
    if _is_linear(rule):
        notes = (
            "linear: the gradient must hardly change over κ steps: on curvature h a step is off by "
            f"κ(κ−1)/2·(lr·h)² = {batch * (batch - 1) / 2:g}·(lr·h)² (Goyal et al. 2017, 1706.02677); warm up, and stay "
            "below the stability threshold",
            "memories (momentum) are kept in steps, so κ times as long in examples: no difference for small lr "
            '(2307.15196); method="sde" keeps them in examples',
        )
        return Answer("linear", BatchChange(powers, {}, state, counts), "asymptotic", notes)
    reason = (
        f"the linear rule is derived for steps that are linear in the gradient; this one divides by the gradient's size, "
        "which falls as 1/√κ where noise dominates: its steps grow by √κ of themselves and would grow by κ^{3/2} in all. "
        f'Use method="{"sde" if rule.facts.sde else "sqrt"}"'
    )
    notes = (f"linear, though {reason}. It holds where the noise of the gradient is negligible at both batch sizes",)
    return Answer("linear", BatchChange(powers, {}, state, counts), "heuristic", notes, reason)


def _sqrt(rule: Rule) -> Answer:
    if _is_linear(rule):
        notes = (
            "sqrt: keeps the covariance of one step (1404.5997; 1705.08741), not the path per example, which slows down by √κ; "
            'for that use method="linear"',
        )
        state = dict.fromkeys(rule.facts.lr_in_state, 0.5) | dict.fromkeys(rule.facts.under_way, -0.5)
        return Answer("sqrt", BatchChange({"lr": 0.5}, {}, state, rule.facts.counts), "heuristic", notes)
    change = _square_root(rule)
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
    return Answer("sqrt", change, "heuristic", notes)


def _square_root(rule: Rule) -> BatchChange:
    """lr·√κ, and what is compared with the size of gradients, which falls as 1/√κ where noise dominates."""
    units, facts = rule.units, rule.facts
    powers = {"lr": 0.5}
    for name in rule.Hyper._fields:
        if name not in ("lr", "weight_decay") and units[name].loss > 0:
            powers[name] = -0.5 * float(units[name].loss)
    if "weight_decay" in rule.Hyper._fields and units["weight_decay"].loss == 0:
        powers["weight_decay"] = 0.5  # decay per example stays
    state = dict.fromkeys(facts.lr_in_state, 0.5)
    for name in rule.State._fields:
        loss = float(units[name].loss) if name in units else 0.0
        if loss == 2 or loss < 0 or (loss and name in facts.sizes):  # squares, sizes, and what is divided by them
            state[name] = state.get(name, 0.0) - 0.5 * loss
    return BatchChange(powers, {}, state, facts.counts)


def _half_life(rule: Rule) -> Answer:
    squares = [name for name, what in rule.facts.averages.items() if what == "squares"]
    if not squares:
        raise ValueError(
            f'{rule!r}: method="half-life" is about averages of squares, and it has none. Nearest: method=None'
        )
    change = _square_root(rule)
    counts = tuple(dict.fromkeys((*change.counts, "t")))
    notes = (
        "half-life: as sqrt, where the noise of the gradient dominates its mean at both batch sizes, but "
        f"{', '.join(squares)} → β^κ, which keeps the half-life of the squares in examples (2507.07101)",
        "averages of gradients keep their memory in steps, so κ times as long in examples: no difference while that is short "
        "against the run",
    )
    return Answer("half-life", change._replace(counts=counts), "heuristic", notes, half_lives=tuple(squares))


def _sde(rule: Rule, hyper: Any, batch: float) -> Answer:
    if rule.facts.sde is None:
        other = "linear" if _is_linear(rule) else "sqrt"
        raise ValueError(f'{rule!r}: method="sde" is not derived for it. Nearest: method="{other}", which is weaker')
    change = rule.facts.sde(hyper)
    memories = {name: power for name, power in change.memories.items() if np.any(np.asarray(getattr(hyper, name)) != 0)}
    _check_memories(rule, hyper, memories, batch)
    notes = [
        "sde: same drift, noise and memory per example in the limit of small steps"
        + (
            ", where the noise of the gradient dominates its mean at both batch sizes" if change.noise_dominates else ""
        ),
        change.source or "derived here from the same equations, and checked against moments and runs",
    ]
    if memories:
        roots = [name for name, power in memories.items() if power == 0.5]
        whole = ", ".join(name for name in memories if name not in roots)
        notes.append(
            f"memories are kept in examples: 1 − β → κ(1 − β) for {whole}; β^κ is the same to first order"
            + "".join(f"; 1 − β → √κ(1 − β) for {name}" for name in roots)
        )
    squares = [name for name in memories if rule.facts.averages.get(name) == "squares"]
    if squares and len(memories) > len(squares):
        kept = ", ".join(f"{name} = {tidy(float(getattr(hyper, name)) ** batch):.6g}" for name in squares)
        notes.append(
            f'method="half-life" shortens the memory of squares alone, {kept}: better where momentum is short against the run, '
            "and possible for every κ; sde holds where momentum matters, for κ(1 − β) well below 1"
        )
    if change.powers["lr"] > 1:
        notes.append(
            "lr takes one more factor of κ than without momentum: the buffer adds up 1/(1 − momentum) gradients, and has κ times "
            "fewer of them in the same memory"
        )
    return Answer("sde", change._replace(memories=memories), change.exactness, tuple(notes))  # type: ignore[arg-type]


def _check_memories(rule: Rule, hyper: Any, memories: Mapping[str, float], batch: float) -> None:
    for name, power in memories.items():
        value = getattr(hyper, name)
        if not is_concrete(value):
            raise TypeError(f"{rule!r}: {name} is traced; rescale takes numbers that are known")
        shortest = float(np.min(np.asarray(value)))
        left = 1 - batch**power * (1 - shortest)
        if left < 1e-9:  # 10·(1 − 0.9) rounds to less than 1
            raise ValueError(
                f'{rule!r}: batch={batch:g} is impossible by method="sde": {name}={shortest:g} remembers '
                f"1/(1 − {name}) = {1 / (1 - shortest):.4g} steps, and with κ times fewer steps in the same examples "
                f"none would be left to remember ({name} would be {0.0 if abs(left) < 1e-9 else left:.3g}). Nearest: κ below "
                f"{(1 / (1 - shortest)) ** (1 / power):.4g}, {name}^κ = {shortest**batch:.3g} set by hand, or "
                f'method="{"linear" if _is_linear(rule) else "sqrt"}", which keeps memories in steps'
            )


def changed_hyper(hyper: Any, answer: Answer, batch: float) -> Any:
    """The numbers after the change, known ones to fifteen digits: 1 − 4·(1 − 0.9) is 0.6, not 0.6000000000000001."""
    change = answer.change
    powers = {**change.powers, **dict.fromkeys(change.counts, -1.0)}
    new = {
        name: tidy(getattr(hyper, name) * batch**power)
        for name, power in powers.items()
        if name in hyper._fields and getattr(hyper, name) is not None
    }
    new |= {name: tidy(1 - batch**p * (1 - getattr(hyper, name))) for name, p in change.memories.items()}
    new |= {name: tidy(getattr(hyper, name) ** batch) for name in answer.half_lives}
    return hyper._replace(**new)


def tidy(value: Any) -> Any:
    """A known number to fifteen digits."""
    return float(f"{value:.15g}") if isinstance(value, float) else value


def changed_state(state: Any, change: BatchChange, batch: float) -> Any:
    """The state after the change: κ times fewer steps taken, averages as the new batch would have them."""

    def times(x: Any, power: float) -> Any:
        return jnp.round(x / batch).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.integer) else x * batch**power

    powers = {name: change.state.get(name, 0.0) - (name in change.counts) for name in state._fields}
    new = {
        name: jax.tree.map(lambda x, power=power: times(x, power), getattr(state, name))
        for name, power in powers.items()
        if power
    }
    return state._replace(**new)
