"""Claims that a rule does not see a loss that is multiplied by α."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ..law import Evidence, claim
from ..trajectory import replay


def first_step_change(alpha: float, gradient: float, eps: float) -> float:
    r"""Adam's first step under α times the loss, over that at 1: :math:`\alpha(|g| + eps)/(\alpha|g| + eps)`."""
    return alpha * (gradient + eps) / (alpha * gradient + eps)


def _check_first_step(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 76])
    adam, worst, largest = rules.adam(), 0.0, 1.0
    gradients = 10 ** rng.uniform(-10, -4, 2)
    for eps in (1e-8, 1e-6, 0.0):
        hyper = adam.hyper(lr=0.1, eps=eps)
        plain = replay(adam, hyper, gradients[None]).steps[0]
        for alpha in (2.0**-10, 0.1, 8.0, 1e4):
            measured = replay(adam, hyper, alpha * gradients[None]).steps[0] / plain
            expected = np.array([formula(alpha, g, eps) for g in gradients])
            worst = max(worst, float(np.abs(measured / expected - 1).max()))
            largest = max(largest, float(measured.max()), float(1 / measured.min()))
    return Evidence(
        ran="adam's first step on gradients from 1e-10 to 1e-4, α from 2^-10 to 10^4, eps 1e-8, 1e-6 and 0",
        residual=worst,
        bound=1e-13,
        derivation="relative: some twenty roundings of 2^-53 in two steps and their quotient",
        figures={"largest change of a step, either way": largest},
    )


def adafactor_default(**numbers: float) -> tuple[Rule, Any]:
    """Adafactor with torch's defaults: machine epsilon of the parameter's dtype is its eps1."""
    return rules.adafactor(), rules.adafactor().hyper(**numbers)


def adafactor_without_eps(**numbers: float) -> tuple[Rule, Any]:
    """Adafactor with eps1 = 0."""
    rule = rules.adafactor(machine_eps=False)
    return rule, rule.hyper(eps1=0.0, **numbers)


def _check_adafactor(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 77])
    rule, hyper = formula(lr=0.01)
    g = 1e-3 * rng.uniform(0.5, 1, (4, 3)) * rng.choice([-1, 1], (4, 3))
    params = jnp.zeros((4, 3), jnp.bfloat16)
    sizes = []
    for alpha in (1.0, 2.0**-4):
        moved, _ = jax.jit(rule.step)(hyper, params, rule.init(params), jnp.asarray(alpha * g, jnp.bfloat16))
        sizes.append(float(jnp.linalg.norm(moved.astype(jnp.float32))))
    return Evidence(
        ran="one step of adafactor on a 4x3 bfloat16 matrix at 0, gradients of size 0.5e-3 to 1e-3, and on a sixteenth of the loss",
        residual=abs(sizes[1] / sizes[0] - 1),
        bound=0.1,
        derivation="change of the step's size, 0 for a rule that is free of the loss scale but for some roundings to 2^-9, which stay "
        "below 1%",
        is_counterexample=True,
        figures={"step under α = 1/16 over that under 1": sizes[1] / sizes[0]},
    )


NO_EFFECT_ON_ADAM = claim(
    "adam-ignores-scale",
    "What α does to Adam",
    "Scaling the loss has no effect on Adam.",
    "depends",
    "exact",
    r"\frac{\Delta_1(\alpha)}{\Delta_1(1)} = \frac{\alpha(|g| + eps)}{\alpha |g| + eps}",
    scope="adam's first step at fixed numbers. No effect at eps 0, or with eps·α (and weight_decay·α where it is coupled); next to none "
    "while |g| ≫ eps; as for SGD, all of α, while α|g| ≪ eps",
    source="1412.6980, algorithm 1; derived here",
    formula=first_step_change,
    check=_check_first_step,
    mutants={"no effect": lambda alpha, g, eps: 1.0, "all of α": lambda alpha, g, eps: alpha},
)


ADAFACTOR_FREE = claim(
    "adafactor-scale-free",
    "Adafactor's default eps1",
    "Adafactor is free of the loss scale by default.",
    "false",
    "false",
    r"u = \frac{g}{\sqrt{\max(v, eps1^2)}}, \quad eps1 = 2^{-7} \; (\text{bfloat16}), \; 2^{-23} \; (\text{float32})",
    scope="torch's default: eps1 is the machine epsilon of the parameter's dtype, whatever the loss scale, so that steps shrink in proportion "
    "to gradients below it: 0.0078 in bfloat16, 1.2e-7 in float32. Of matrices the mean of row_var is clamped by eps1 too, so that freedom "
    "ends where rms(g) is √eps1, 0.088 and 3.5e-4: below, updates first grow, by up to eps1^(−1/4), as far as clipping by d lets it be "
    "seen. Free of it at eps1 = 0, and while clipping by d hides the bound",
    source="torch/optim/_adafactor.py (2.13), _single_tensor_adafactor; counterexample here",
    formula=adafactor_default,
    check=_check_adafactor,
    mutants={"without eps1": adafactor_without_eps},
)
