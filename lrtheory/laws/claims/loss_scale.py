"""Claims about the gradient and the steps of a loss that is multiplied by α."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.asking import numbers_of
from ..law import Evidence, claim
from ..trajectory import replay

STEPS = 30


def cross_entropy(w: Any, x: Any, y: Any, alpha: Any = 1.0) -> Any:
    """α times the mean cross-entropy of a linear classifier."""
    return alpha * -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w), axis=1))


def tempered_cross_entropy(w: Any, x: Any, y: Any, alpha: Any = 1.0) -> Any:
    """The cross-entropy of logits multiplied by α: what scaling inside the loss does."""
    return cross_entropy(alpha * w, x, y)


def _classifier(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.eye(3)[rng.integers(0, 3, 12)]
    return rng.standard_normal((4, 3)), rng.standard_normal((12, 4)), labels


_slope = jax.jit(jax.grad(cross_entropy))


_tempered_slope = jax.jit(jax.grad(tempered_cross_entropy))


def scaled_gradient(gradient: np.ndarray, alpha: float) -> np.ndarray:
    """Gradient of α times the loss: α times the gradient."""
    return alpha * gradient


def _check_gradient(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 70])
    worst = 0.0
    with jax.enable_x64(True):
        for _ in range(4):
            w, x, y = _classifier(rng)
            alpha = 2.0 ** int(rng.choice([-20, -3, 4, 20]))
            plain, scaled = np.asarray(_slope(w, x, y, 1.0)), np.asarray(_slope(w, x, y, alpha))
            worst = max(worst, float(np.abs(scaled - formula(plain, alpha)).max() / np.abs(scaled).max()))
    return Evidence(
        ran="automatic gradients of a linear classifier's cross-entropy, four draws of weights, data and α from 2^-20 to 2^20",
        residual=worst,
        bound=0.0,
        derivation="bit for bit: automatic differentiation is linear in what flows back, and powers of two do not round",
    )


def step_exponent(rule: Rule) -> float:
    """Power of α that steps grow with under α times the loss, numbers left alone and eps 0: minus that of [loss] in lr."""
    return -float(rule.units["lr"].loss)


def _check_exponent(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 71])
    grads = rng.standard_normal((STEPS, 2))
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {"momentum": 0.9}),
        (rules.adam(), {"eps": 0.0}),
        (rules.rmsprop(), {"eps": 0.0}),
        (rules.adagrad(), {"eps": 0.0}),
        (rules.adamax(), {"eps": 0.0}),
        (rules.lion(), {}),
        (rules.signum(), {}),
        (rules.rprop(), {}),
    ]
    worst, figures = 0.0, {}
    for rule, numbers in cases:
        hyper = rule.hyper(lr=0.01, **numbers)
        plain, scaled = (np.abs(replay(rule, hyper, a * grads).steps).sum() for a in (1.0, 8.0))
        measured = math.log(scaled / plain, 8)
        worst = max(worst, abs(measured - formula(rule)))
        figures[f"power of α, {rule!r}"] = measured
    return Evidence(
        ran=f"{', '.join(repr(rule) for rule, _ in cases)} at eps 0 on {STEPS} gradients and on eight times the same",
        residual=worst,
        bound=1e-12,
        derivation="a logarithm of sums of 60 steps, each off by some dozen roundings of 2^-53",
        figures=figures,
    )


def lr_compensates(rule: Rule, hyper: Any) -> bool:
    """Whether lr/α alone undoes α: lr must be in 1/[loss], and no other number that is not 0 may carry [loss]."""
    numbers = numbers_of(rule, hyper)
    return rule.units["lr"].loss == -1 and all(
        not value or rule.units[name].loss == 0 for name, value in numbers._asdict().items() if name != "lr"
    )


def _check_compensation(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 72])
    grads, first = rng.standard_normal((STEPS, 2)), rng.standard_normal(2)
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {}),
        (rules.sgd(), {"momentum": 0.9, "dampening": 0.5}),
        (rules.sgd(nesterov=True), {"momentum": 0.9}),
        (rules.sgd(), {"weight_decay": 0.1}),
        (rules.asgd(), {"lambd": 0.0}),
        (rules.asgd(), {"lambd": 0.1}),
        (rules.adam(), {"eps": 0.0}),
        (rules.adam(), {}),
        (rules.adadelta(), {}),
        (rules.rmsprop(), {}),
        (rules.lion(), {}),
    ]
    wrong = []
    for rule, numbers in cases:
        hyper = rule.hyper(lr=0.01, **numbers)
        plain = replay(rule, hyper, grads, first).params
        scaled = replay(rule, hyper._replace(lr=hyper.lr / 8), 8 * grads, first).params
        if np.array_equal(plain, scaled) != formula(rule, hyper):
            wrong.append(rule)
    return Evidence(
        ran=f"sgd plain, with momentum, nesterov and weight decay, asgd with and without lambd, adam with and without eps, adadelta, "
        f"rmsprop and lion: {STEPS} steps on gradients, and on eight times the same with an eighth of lr",
        residual=float(len(wrong)),
        bound=0.0,
        derivation="a count: cases in which the runs are the same bit for bit and it says otherwise, or the reverse",
    )


def _check_linear(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 73])
    w, x, y = _classifier(rng)
    slope = {cross_entropy: _slope, tempered_cross_entropy: _tempered_slope}[formula]
    with jax.enable_x64(True):
        one = np.asarray(slope(w, x, y, 1.0))
        off = max(
            float(np.abs(np.asarray(slope(w, x, y, a)) / a - one).max() / np.abs(one).max()) for a in (0.1, 3.0, 100.0)
        )
    return Evidence(
        ran="gradients of a linear classifier's cross-entropy at α = 0.1, 3 and 100, over α, beside that at 1",
        residual=-math.log10(max(off, 1e-17)),
        bound=12.0,
        derivation="decimal digits that agree: an effect that is linear but for rounding keeps 15 or more, one that is not keeps none "
        "or one, and 12 lie between",
        is_counterexample=True,
    )


GRADIENT_SCALES = claim(
    "gradient-scales",
    "The gradient of a scaled loss",
    "Scaling the loss scales the gradient by the same factor.",
    "true",
    "bitwise",
    r"\nabla(\alpha L) = \alpha \nabla L",
    scope="any differentiable loss, any α; bit for bit for powers of two without under- or overflow. Not the gradient that a clipping "
    "or a loss scaler hands on",
    source="linearity of the derivative; checked on the automatic differentiation of jax, and of torch by test",
    formula=scaled_gradient,
    check=_check_gradient,
    mutants={
        "square of α": lambda g, alpha: alpha**2 * g,
        "not at all": lambda g, alpha: g,
    },
)


SMALL_SLOWS = claim(
    "small-scale-slows",
    "What α does to steps",
    "A small α slows training, a large one overshoots.",
    "depends",
    "exact",
    r"\Delta(\alpha) = \alpha^k \Delta(1), \quad k = 1 \text{ for rules with lr in } 1/[loss], \; k = 0 \text{ for those with lr in } [param]",
    scope="true of sgd (and asgd), whose steps grow with α. False of adam, rmsprop, adagrad, adamax, lion, signum and rprop at eps 0, "
    "whose steps do not see it. In between: adadelta and radam, which have no such power at fixed numbers",
    source="units of lr, proven by lrtheory.dims; checked on each rule",
    formula=step_exponent,
    check=_check_exponent,
    mutants={"all grow with α": lambda rule: 1.0, "none does": lambda rule: 0.0},
)


LR_COMPENSATES = claim(
    "lr-over-scale",
    "Which rules lr/α compensates",
    "Dividing lr by α compensates a loss scaled by α.",
    "depends",
    "exact",
    r"lr/\alpha \text{ compensates } \alpha \quad \Leftrightarrow \quad lr \text{ is in } 1/[loss] \text{ and all numbers in } [loss] \text{ are } 0",
    scope="true of sgd with momentum, dampening and nesterov, without weight decay (which becomes weight_decay·α), and of asgd at lambd "
    "0. False of adam and all rules with lr in [param]: there it slows training by α. False of adadelta, whose eps counts",
    source="units of all numbers, proven by lrtheory.dims; checked bit for bit on each rule",
    formula=lr_compensates,
    check=_check_compensation,
    mutants={
        "for every rule": lambda rule, hyper: True,
        "whatever the other numbers are": lambda rule, hyper: rule.units["lr"].loss == -1,
        "for none": lambda rule, hyper: False,
    },
)


CROSS_ENTROPY = claim(
    "cross-entropy-nonlinear",
    "Scaling a cross-entropy",
    "For losses such as cross-entropy the effect of scaling is non-linear.",
    "false",
    "false",
    r"\nabla(\alpha \cdot CE(z)) = \alpha \nabla CE(z) \ne \nabla CE(\alpha z)",
    scope="the effect on the gradient is linear for every loss. What is not linear is scaling the logits, a temperature, and what many "
    "steps of training make of α",
    source="linearity of the derivative; derived here",
    formula=cross_entropy,
    check=_check_linear,
    mutants={"α multiplies the logits": tempered_cross_entropy},
)
