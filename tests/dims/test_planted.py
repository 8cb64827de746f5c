"""Planted errors: each is a plausible slip in a correct Adam or SGD, and the line it is on must be the one named.

The line is the one whose comment says ``# HERE``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
import torch

from lrtheory import dims

NUMBERS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}
UNITS = {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"}


class State(NamedTuple):
    t: Any
    m: Any
    v: Any


class Transformation(NamedTuple):
    init: Callable[..., Any]
    update: Callable[..., Any]


def transformation(rule: Callable[..., Any]) -> Callable[..., Transformation]:
    """A factory from one array's rule: numbers, parameter, state, gradient -> update, state."""

    def factory(**numbers: Any) -> Transformation:
        def init(params: Any) -> Any:
            return {k: State(jnp.int32(0), jnp.zeros_like(p), jnp.zeros_like(p)) for k, p in params.items()}

        def update(grads: Any, state: Any, params: Any) -> Any:
            each = {k: rule(numbers, params[k], state[k], grads[k]) for k in params}
            return {k: u for k, (u, _) in each.items()}, {k: s for k, (_, s) in each.items()}

        return Transformation(init, update)

    factory.__name__ = rule.__name__
    return factory


def correct(h, p, s, g):
    g = g + h["weight_decay"] * p
    t = s.t + 1
    m = h["beta1"] * s.m + (1 - h["beta1"]) * g
    v = h["beta2"] * s.v + (1 - h["beta2"]) * g * g
    m_hat = m / (1 - h["beta1"] ** t)
    v_hat = v / (1 - h["beta2"] ** t)
    return -h["lr"] * m_hat / (jnp.sqrt(v_hat) + h["eps"]), State(t, m, v)


def eps_inside_the_root(h, p, s, g):
    v = h["beta2"] * s.v + (1 - h["beta2"]) * g * g
    update = -h["lr"] * g / jnp.sqrt(v + h["eps"])  # HERE
    return update, s._replace(v=v)


def squared_lr(h, p, s, g):
    step = h["lr"] * jnp.sign(g)
    decay = h["lr"] ** 2 * h["weight_decay"] * p / (jnp.abs(g) + h["eps"])
    return -(step + decay), s  # HERE


def literal_eps(h, p, s, g):
    v = h["beta2"] * s.v + (1 - h["beta2"]) * g * g
    return -h["lr"] * g / (jnp.sqrt(v) + 1e-8), s._replace(v=v)  # HERE


def decay_times_gradient(h, p, s, g):
    g = g + h["weight_decay"] * g  # HERE
    return -h["lr"] * g / (jnp.abs(g) + h["eps"]), s


def threshold_on_the_raw_gradient(h, p, s, g):
    small = jnp.abs(g) < 1e-3  # HERE
    return jnp.where(small, 0.0, -h["lr"] * jnp.sign(g)), s


def missing_square(h, p, s, g):
    v = h["beta2"] * s.v + (1 - h["beta2"]) * jnp.abs(g)
    return -h["lr"] * g / (jnp.sqrt(v) + h["eps"]), s._replace(v=v)  # HERE


def missing_root(h, p, s, g):
    v = h["beta2"] * s.v + (1 - h["beta2"]) * g * g
    return -h["lr"] * g / (v + h["eps"]), s._replace(v=v)  # HERE


def clipped_at_one(h, p, s, g):
    g = jnp.clip(g, -1.0, 1.0)  # HERE
    return -h["lr"] * g / (jnp.abs(g) + h["eps"]), s


def state_starts_at_one_tenth(h, p, s, g):
    v = jnp.where(s.t == 0, 0.1, h["beta2"] * s.v + (1 - h["beta2"]) * g * g)  # HERE
    return -h["lr"] * g / (jnp.sqrt(v) + h["eps"]), s._replace(t=s.t + 1, v=v)


def moments_mixed_up(h, p, s, g):
    m = h["beta1"] * s.m + (1 - h["beta1"]) * g
    v = h["beta2"] * s.m + (1 - h["beta2"]) * g * g  # HERE
    return -h["lr"] * m / (jnp.sqrt(v) + h["eps"]), s._replace(m=m, v=v)


def softened_by_tanh(h, p, s, g):
    g = jnp.tanh(g)  # HERE
    return -h["lr"] * g, s


def lr_forgotten(h, p, s, g):
    m = h["beta1"] * s.m + (1 - h["beta1"]) * g
    return -m / (jnp.abs(m) + h["eps"]), s._replace(m=m)  # HERE


IN_JAX = [
    eps_inside_the_root,
    squared_lr,
    literal_eps,
    decay_times_gradient,
    threshold_on_the_raw_gradient,
    missing_square,
    missing_root,
    clipped_at_one,
    state_starts_at_one_tenth,
    moments_mixed_up,
    softened_by_tanh,
    lr_forgotten,
]


def planted_line(function: Any) -> int:
    lines, start = inspect.getsourcelines(function)
    (line,) = (start + i for i, text in enumerate(lines) if "# HERE" in text)
    return line


def used(function: Any, names: dict[str, Any]) -> dict[str, Any]:
    source = inspect.getsource(function)
    return {name: value for name, value in names.items() if f'"{name}"' in source or f"group.{name}" in source}


def test_correct_adam_is_proven_in_jax():
    found = dims.infer(transformation(correct), hyper=NUMBERS, expected=UNITS)
    assert found.verdict == "proven"
    assert len(IN_JAX) >= 10


@pytest.mark.parametrize("rule", IN_JAX, ids=lambda f: f.__name__)
def test_planted_error_is_named_at_its_line_in_jax(rule):
    found = dims.infer(transformation(rule), hyper=used(rule, NUMBERS), expected=used(rule, UNITS))
    (broken,) = found.breaks
    assert broken.location is not None
    assert broken.location.file == __file__
    assert broken.location.line == planted_line(rule), found.verdict
    assert jax.tree.leaves(found.state)


# --- the same in torch ---


class Adam(torch.optim.Optimizer):
    """One parameter after the other: ``rule`` is the formula, in place, as torch's own are."""

    def __init__(self, params, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["t"] = 0
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["t"] += 1
                self.rule(group, p, state, p.grad)

    def rule(self, h, p, s, g):
        g = g.add(p, alpha=h["weight_decay"])
        s["m"].lerp_(g, 1 - h["beta1"])
        s["v"].mul_(h["beta2"]).addcmul_(g, g, value=1 - h["beta2"])
        denominator = (s["v"] / (1 - h["beta2"] ** s["t"])).sqrt().add_(h["eps"])
        p.addcdiv_(s["m"], denominator, value=-h["lr"] / (1 - h["beta1"] ** s["t"]))


class EpsInsideTheRoot(Adam):
    def rule(self, h, p, s, g):
        s["v"].mul_(h["beta2"]).addcmul_(g, g, value=1 - h["beta2"])
        p.addcdiv_(g, s["v"].add(h["eps"]).sqrt_(), value=-h["lr"])  # HERE


class SquaredLr(Adam):
    def rule(self, h, p, s, g):
        p.add_(g.sign(), alpha=-h["lr"])
        p.add_(g.sign(), alpha=-(h["lr"] ** 2))  # HERE


class LiteralEps(Adam):
    def rule(self, h, p, s, g):
        s["v"].mul_(h["beta2"]).addcmul_(g, g, value=1 - h["beta2"])
        denominator = s["v"].sqrt().add_(1e-8)  # HERE
        p.addcdiv_(g, denominator, value=-h["lr"])


class DecayTimesGradient(Adam):
    def rule(self, h, p, s, g):
        g = g.add(g, alpha=h["weight_decay"])  # HERE
        p.addcdiv_(g, g.abs().add_(h["eps"]), value=-h["lr"])


class ThresholdOnTheRawGradient(Adam):
    def rule(self, h, p, s, g):
        small = g.abs() < 1e-3  # HERE
        p.add_(g.sign().masked_fill_(small, 0.0), alpha=-h["lr"])


class MissingSquare(Adam):
    def rule(self, h, p, s, g):
        s["v"].lerp_(g.abs(), 1 - h["beta2"])  # HERE
        denominator = s["v"].sqrt().add_(h["eps"])
        p.addcdiv_(g, denominator, value=-h["lr"])


class MissingRoot(Adam):
    def rule(self, h, p, s, g):
        s["v"].mul_(h["beta2"]).addcmul_(g, g, value=1 - h["beta2"])
        denominator = s["v"].add(h["eps"])  # HERE
        p.addcdiv_(g, denominator, value=-h["lr"])


class ClippedAtOne(Adam):
    def rule(self, h, p, s, g):
        g = g.clamp(-1.0, 1.0)  # HERE
        p.addcdiv_(g, g.abs().add_(h["eps"]), value=-h["lr"])


class FilledWithOneTenth(Adam):
    def rule(self, h, p, s, g):
        if s["t"] == 1:
            s["v"].fill_(0.1)
        s["v"].addcmul_(g, g)  # HERE
        p.addcdiv_(g, s["v"].sqrt().add_(h["eps"]), value=-h["lr"])


class MomentsMixedUp(Adam):
    def rule(self, h, p, s, g):
        s["m"].lerp_(g, 1 - h["beta1"])
        v = h["beta2"] * s["m"] + (1 - h["beta2"]) * g * g  # HERE
        p.addcdiv_(s["m"], v.abs().sqrt().add_(h["eps"]), value=-h["lr"])


class SoftenedByTanh(Adam):
    def rule(self, h, p, s, g):
        g = torch.tanh(g)  # HERE
        p.add_(g, alpha=-h["lr"])


class NumberTestedInPython(Adam):
    def rule(self, h, p, s, g):
        if g.norm().item() > 1.0:  # HERE
            p.add_(g.sign(), alpha=-h["lr"])


IN_TORCH = [
    EpsInsideTheRoot,
    SquaredLr,
    LiteralEps,
    DecayTimesGradient,
    ThresholdOnTheRawGradient,
    MissingSquare,
    MissingRoot,
    ClippedAtOne,
    FilledWithOneTenth,
    MomentsMixedUp,
    SoftenedByTanh,
    NumberTestedInPython,
]


def test_correct_adam_is_proven_in_torch():
    assert dims.infer(Adam, expected=UNITS).verdict == "proven"
    assert len(IN_TORCH) >= 10


@pytest.mark.parametrize("optimizer", IN_TORCH, ids=lambda c: c.__name__)
def test_planted_error_is_named_at_its_line_in_torch(optimizer):
    found = dims.infer(optimizer, expected=used(optimizer.rule, UNITS))
    broken = found.breaks[0]  # what a slip spoils further down may be named after it
    assert broken.location is not None
    assert broken.location.file == __file__
    assert broken.location.line == planted_line(optimizer), found.verdict
