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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from ..laws import square_root
from ..numbers import is_concrete
from ..rules import Rule
from .result import Exactness

METHODS = ("linear", "sqrt", "sde")


class BatchRuleWarning(UserWarning):
    """A method was asked for that is derived for another family of rules."""


class Change(NamedTuple):
    """What becomes of numbers and state: powers of κ by name, memories, and what state is in steps."""

    powers: Mapping[str, float]
    memories: tuple[str, ...] = ()
    state: Mapping[str, float] = {}
    counts_steps: bool = False


@dataclass(frozen=True)
class Answer:
    """A change, how exact it is, and what to say of it."""

    method: str
    change: Change
    exactness: Exactness
    notes: tuple[str, ...]
    warning: str | None = None


LINEAR = ("sgd", "asgd", "schedule_free_sgd")
NORMALISED = (
    "adam", "adamax", "nadam", "sparse_adam", "rmsprop", "adagrad", "adabelief", "adan", "schedule_free_adamw",
    "lion", "signum", "lars", "lamb", "adafactor", "muon",
)  # fmt: skip
DERIVED = ("sgd", "adam", "rmsprop", "adagrad")

_NONE = {
    "radam": "its first steps follow the linear rule and later ones the square-root rule. Nearest: "
    "rescale adam's numbers, and start with lr = 0 for five steps",
    "rprop": "it compares signs of successive gradients, which a minibatch turns at random. Nearest: use it on "
    "full batches, where there is no batch size to change",
    "adadelta": "its lr multiplies a ratio of its own steps to gradients, which settles anew at each batch size. Nearest: keep "
    "the numbers and tune lr",
}


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
    if rule.name in _NONE:
        raise ValueError(f"{rule!r}: no rule for another batch size is known: {_NONE[rule.name]}")
    if rule.name not in LINEAR + NORMALISED:
        raise ValueError(
            f"{rule!r}: no rule for another batch size is known here. Nearest: keep the numbers and tune lr"
        )
    if method is None:
        method = "linear" if rule.name in LINEAR else "sde" if rule.name in DERIVED else "sqrt"
    if method == "sde":
        return _sde(rule, hyper, batch)
    return _linear(rule, batch) if method == "linear" else _sqrt(rule)


def _linear(rule: Rule, batch: float) -> Answer:
    powers, state = {"lr": 1.0}, _lr_in_state(rule, 1.0)
    if rule.name == "asgd":
        powers["t0"] = -1.0
    if rule.name in LINEAR:
        notes = (
            "linear: the gradient must hardly change over κ steps: on curvature h a step is off by "
            f"κ(κ−1)/2·(lr·h)² = {batch * (batch - 1) / 2:g}·(lr·h)² (Goyal et al. 2017, 1706.02677); warm up, and stay "
            "below the stability threshold",
            "memories (momentum) are kept in steps, so κ times as long in examples: no difference for small lr "
            '(2307.15196); method="sde" keeps them in examples',
        )
        # Averages that count steps have κ times fewer of them.
        counts = rule.name in ("asgd", "schedule_free_sgd")
        steps = {"weight_sum": -1.0} if rule.name == "schedule_free_sgd" else {}
        return Answer("linear", Change(powers, (), {**state, **steps}, counts), "asymptotic", notes)
    reason = (
        f"the linear rule is derived for steps that are linear in the gradient; {rule.name} divides by the gradient's size, "
        "which falls as 1/√κ where noise dominates: its steps grow by √κ of themselves and would grow by κ^{3/2} in all. "
        + ('Use method="sde"' if rule.name in DERIVED else 'Use method="sqrt"')
    )
    notes = (f"linear, though {reason}. It holds where the noise of the gradient is negligible at both batch sizes",)
    return Answer("linear", Change(powers, (), state), "heuristic", notes, reason)


def _sqrt(rule: Rule) -> Answer:
    if rule.name in LINEAR:
        notes = (
            "sqrt: keeps the covariance of one step (1404.5997; 1705.08741), not the path per example, which slows down by √κ; "
            'for that use method="linear"',
        )
        return Answer("sqrt", Change({"lr": 0.5}, (), _lr_in_state(rule, 0.5)), "heuristic", notes)
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
            '; method="sde" keeps them in examples' if rule.name in DERIVED else f"; for {rule.name} no rule is derived"
        ),
    )
    return Answer("sqrt", Change(powers, (), {**squares, **_lr_in_state(rule, 0.5)}), "heuristic", notes)


def _lr_in_state(rule: Rule, power: float) -> dict[str, float]:
    """State that is lr times something, so that it grows with it."""
    fields = {"asgd": ("eta", "eta_used"), "schedule_free_sgd": ("max_lr",), "schedule_free_adamw": ("max_lr",), "lars": ("buffer",)}  # fmt: skip
    return dict.fromkeys(fields.get(rule.name, ()), power)


def _sde(rule: Rule, hyper: Any, batch: float) -> Answer:
    if rule.name not in DERIVED:
        other = "linear" if rule.name in LINEAR else "sqrt"
        raise ValueError(
            f'{rule!r}: method="sde" is derived for {", ".join(DERIVED)}. Nearest: method="{other}", which is weaker'
        )
    change, noise = _SDE[rule.name](rule, hyper)
    memories = tuple(name for name in change.memories if np.any(np.asarray(getattr(hyper, name)) != 0))
    _check_memories(rule, hyper, memories, batch)
    notes = [
        "sde: same drift, noise and memory per example in the limit of small steps"
        + (", where the noise of the gradient dominates its mean at both batch sizes" if noise else ""),
        "Malladi et al. 2022 (2205.10287)"
        + (", with decoupled weight_decay·√κ derived here" if rule.name == "adam" and rule.options["decoupled"] else "")
        if rule.name == "adam" or (rule.name == "rmsprop" and "momentum" not in memories)
        else f"derived here for {rule.name} from the same equations, and checked against moments and runs",
    ]
    if memories:
        notes.append(
            f"memories are kept in examples: 1 − β → κ(1 − β) for {', '.join(memories)}; β^κ is the same to first order"
        )
    if rule.name in ("sgd", "rmsprop") and change.powers["lr"] in (1.5, 2.0):
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
        if batch * (1 - shortest) > 1 - 1e-9:  # 10·(1 − 0.9) rounds to less than 1
            raise ValueError(
                f'{rule!r}: batch={batch:g} is impossible by method="sde": {name}={shortest:g} remembers '
                f"1/(1 − {name}) = {1 / (1 - shortest):.4g} steps, and with κ times fewer steps in the same examples "
                f"none would be left to remember ({name} would be {_zeroed(1 - batch * (1 - shortest)):.3g}). Nearest: κ below "
                f"{1 / (1 - shortest):.4g}, {name}^κ = {shortest**batch:.3g} set by hand, or "
                f'method="{"linear" if rule.name in LINEAR else "sqrt"}", which keeps memories in steps'
            )


def _zeroed(value: float) -> float:
    return 0.0 if abs(value) < 1e-9 else value


def _sde_sgd(rule: Rule, hyper: Any) -> tuple[Change, bool]:
    if np.all(np.asarray(hyper.momentum) == 0):
        return Change({"lr": 1.0}), False
    # An averaging buffer (dampening = momentum) stays one: it is the gradient's mean, and lr alone is κ times as large.
    averaging = np.all(np.asarray(hyper.dampening) == np.asarray(hyper.momentum)) and not rule.options["nesterov"]
    if averaging:
        return Change({"lr": 1.0}, ("momentum", "dampening")), False
    return Change({"lr": 2.0}, ("momentum",), {"buffer": -1.0, "weight": -1.0}), False


def _sde_adam(rule: Rule, hyper: Any) -> tuple[Change, bool]:
    return Change(square_root.powers(rule), square_root.RATES["adam"], {"v": -1.0, "v_max": -1.0}, True), True


def _sde_rmsprop(rule: Rule, hyper: Any) -> tuple[Change, bool]:
    # A centered v is of the noise alone already; an uncentered one is where noise dominates.
    momentum = "momentum" in hyper._fields and hyper.momentum is not None and np.any(np.asarray(hyper.momentum) != 0)
    if not momentum:
        return Change(square_root.powers(rule), square_root.RATES["rmsprop"], {"v": -1.0}, True), True
    state = {"v": -1.0, "buffer": -0.5, "gain": -0.5}
    return Change(
        {**square_root.powers(rule), "lr": 1.5}, (*square_root.RATES["rmsprop"], "momentum"), state, True
    ), True


def _sde_adagrad(rule: Rule, hyper: Any) -> tuple[Change, bool]:
    powers = {"lr": 0.0, "eps": -1.0, "initial_accumulator_value": -2.0, "lr_decay": 1.0}
    return Change(powers, (), {"sum": -2.0}, True), True


_SDE = {"sgd": _sde_sgd, "adam": _sde_adam, "rmsprop": _sde_rmsprop, "adagrad": _sde_adagrad}


def changed_hyper(hyper: Any, change: Change, batch: float) -> Any:
    """The numbers after the change, known ones to fifteen digits: 1 − 4·(1 − 0.9) is 0.6, not 0.6000000000000001."""
    new = {
        name: _tidy(getattr(hyper, name) * batch**power)
        for name, power in change.powers.items()
        if name in hyper._fields and getattr(hyper, name) is not None
    }
    new.update({name: _tidy(1 - batch * (1 - getattr(hyper, name))) for name in change.memories})
    return hyper._replace(**new)


def _tidy(value: Any) -> Any:
    return float(f"{value:.15g}") if isinstance(value, float) else value


def changed_state(state: Any, change: Change, batch: float) -> Any:
    """The state after the change: κ times fewer steps taken, averages as the new batch would have them."""
    new = {
        name: jax.tree.map(lambda x, power=power: x * batch**power, getattr(state, name))
        for name, power in change.state.items()
        if name in state._fields
    }
    if change.counts_steps:
        new["t"] = jax.tree.map(lambda t: jax.numpy.round(t / batch).astype(t.dtype), state.t)
    return state._replace(**new)
