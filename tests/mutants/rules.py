"""Rules with one thing broken: what a comparison must catch before it may be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp

from lrtheory import rules
from lrtheory.rules import ArrayRule, Rule
from parity.cases import Case, LrSchedule


@dataclass(frozen=True)
class Mutant:
    """A rule with one thing broken, and a run in which that shows.

    Attributes
    ----------
    name : str
        What is broken.
    case : Case
        A run of the sound rule.
    breaks : callable
        From the sound rule for one array to the broken one.
    """

    name: str
    case: Case
    breaks: Callable[[ArrayRule], ArrayRule]

    def rule(self) -> Rule:
        """The broken rule."""
        sound = rules.get(self.case.rule)(**self.case.options)
        return Rule(self.breaks(sound.array_rule), sound.options)


def _stepping(step: Callable[[Any, Any, Any, Any], Any]) -> Callable[[ArrayRule], ArrayRule]:
    return lambda sound: replace(sound, step=step)


def _adam(
    *,
    eps_inside: bool = False,
    correct_m: bool = True,
    correct_v: bool = True,
    swapped_betas: bool = False,
    t_offset: int = 0,
    decay: str = "none",
) -> Callable[[ArrayRule], ArrayRule]:
    """Adam written out once more, with switches for what goes wrong in practice."""

    def step(h: Any, p: Any, s: Any, g: Any) -> Any:
        t = s.t + 1
        power = (t + t_offset).astype(p.dtype)
        beta1, beta2 = (h.beta2, h.beta1) if swapped_betas else (h.beta1, h.beta2)
        if decay == "coupled":
            g = g + h.weight_decay * p
        m = beta1 * s.m + (1 - beta1) * g
        v = beta2 * s.v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**power) if correct_m else m
        v_hat = v / (1 - beta2**power) if correct_v else v
        root = jnp.sqrt(v_hat + h.eps) if eps_inside else jnp.sqrt(v_hat) + h.eps
        update = h.lr * m_hat / root
        if decay == "without lr":
            update = update + h.weight_decay * p
        elif decay == "with lr":
            update = update + h.lr * h.weight_decay * p
        return p - update, s._replace(t=t, m=m, v=v)

    return _stepping(step)


def _sgd(
    *, damped_first: bool = False, undamped: bool = False, nesterov: bool = False
) -> Callable[[ArrayRule], ArrayRule]:
    def step(h: Any, p: Any, s: Any, g: Any) -> Any:
        g = g + h.weight_decay * p
        share = 1 if undamped else 1 - h.dampening
        buffer = h.momentum * s.buffer + share * g
        if not damped_first:
            buffer = jnp.where(s.t == 0, g, buffer)
        return p - h.lr * (g + h.momentum * buffer if nesterov else buffer), s._replace(t=s.t + 1, buffer=buffer)

    return _stepping(step)


def _rmsprop(*, eps_inside: bool = False, lr_inside: bool = False) -> Callable[[ArrayRule], ArrayRule]:
    def step(h: Any, p: Any, s: Any, g: Any) -> Any:
        g = g + h.weight_decay * p
        v = h.alpha * s.v + (1 - h.alpha) * g * g
        root = jnp.sqrt(v + h.eps) if eps_inside else jnp.sqrt(v) + h.eps
        buffer = h.momentum * s.buffer + (h.lr if lr_inside else 1) * g / root
        return p - (1 if lr_inside else h.lr) * buffer, s._replace(t=s.t + 1, v=v, buffer=buffer)

    return _stepping(step)


def _plain_sign(sound: ArrayRule) -> ArrayRule:
    """The rule without the negation that its options ask for."""
    return replace(sound, step=lambda h, p, s, g: sound.step(h, p, s, -g))


def _without_maximum(sound: ArrayRule) -> ArrayRule:
    def step(h: Any, p: Any, s: Any, g: Any) -> Any:
        return sound.step(h, p, s._replace(v_max=jnp.zeros_like(s.v)), g)

    return replace(sound, step=step)


_ADAM = Case("adam", {}, {"lr": 0.01, "eps": 1e-3})
_ADAMW = Case("adam", {"decoupled": True}, {"lr": 0.01, "weight_decay": 0.1})
_SGD = Case("sgd", {}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4})
_RMSPROP = Case("rmsprop", {}, {"lr": 0.01, "momentum": 0.5, "eps": 1e-3})

MUTANTS: tuple[Mutant, ...] = (
    Mutant("adam: eps inside the root", _ADAM, _adam(eps_inside=True)),
    Mutant("adam: no bias correction of m", _ADAM, _adam(correct_m=False)),
    Mutant("adam: no bias correction of v", _ADAM, _adam(correct_v=False)),
    Mutant("adam: bias correction one step behind", _ADAM, _adam(t_offset=1)),
    Mutant("adam: betas swapped", _ADAM, _adam(swapped_betas=True)),
    Mutant(
        "adam: beta of v slightly off",
        _ADAM.with_(numbers={**_ADAM.numbers, "beta2": 0.99}),
        lambda sound: replace(sound, step=lambda h, p, s, g: sound.step(h._replace(beta2=h.beta2 + 1e-6), p, s, g)),
    ),
    Mutant("adamw: coupled decay", _ADAMW, _adam(decay="coupled")),
    Mutant("adamw: decay without lr", _ADAMW, _adam(decay="without lr")),
    Mutant("adamw: no decay", _ADAMW, _adam(decay="none")),
    Mutant("adam: sign of maximize", _ADAM.with_(options={"maximize": True}), _plain_sign),
    Mutant("adam: amsgrad forgets the maximum", _ADAM.with_(options={"amsgrad": True}), _without_maximum),
    Mutant("sgd: first gradient damped", _SGD, _sgd(damped_first=True)),
    Mutant("sgd: no dampening", _SGD, _sgd(undamped=True)),
    Mutant("sgd: look-ahead where none was asked", _SGD, _sgd(nesterov=True)),
    Mutant("sgd: sign of maximize", _SGD.with_(options={"maximize": True}), _plain_sign),
    Mutant("rmsprop: eps inside the root", _RMSPROP, _rmsprop(eps_inside=True)),
    Mutant(
        "rmsprop: lr inside the buffer",
        _RMSPROP.with_(schedule=LrSchedule("moving")),
        _rmsprop(lr_inside=True),
    ),
    Mutant("rmsprop: not centred", _RMSPROP.with_(options={"centered": True}), _rmsprop()),
    Mutant("rmsprop: sign of maximize", _RMSPROP.with_(options={"maximize": True}), _plain_sign),
)
