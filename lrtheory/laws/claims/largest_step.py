"""Claims that steps are bounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.bounds import extremal_gradients, powers
from ..law import Evidence, claim
from ..trajectory import replay


def _check_largest(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 84])
    rule: Rule = formula()
    t, beta1, beta2 = 5000, 0.9, 0.999
    stream = rng.uniform(0.1, 10) * extremal_gradients(powers(beta1, t), powers(beta2, t))
    hyper = rule.hyper(lr=1e-3)
    step = abs(float(replay(rule, hyper, np.tile(stream[:, None], (1, 2))).steps[-1, 0]))
    return Evidence(
        ran=f"{rule!r} with default betas, {t} gradients each 1.11 times the one before (the first are 0, being below 1e-323): the "
        "last step over lr",
        residual=step / hyper.lr,
        bound=1 + 1e-9,
        derivation="lr itself, and room for rounding: the claim is that no step is larger. bounds.adam says how large they can be",
        is_counterexample=True,
    )


def centered_rmsprop() -> Rule:
    """The rule that is claimed to be bounded."""
    return rules.rmsprop(centered=True)


def _check_bounded(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 86])
    rule: Rule = formula()
    hyper = rule.hyper(lr=0.1, alpha=0.6, eps=0.0)
    steps = np.abs(replay(rule, hyper, np.tile(rng.uniform(0.5, 2, 2), (30, 1))).steps)
    return Evidence(
        ran=f"{rule!r} with alpha 0.6 and eps 0 under a constant gradient: the largest of 30 steps over lr",
        residual=float(steps.max() / hyper.lr),
        bound=100.0,
        derivation="a hundred times lr, where RMSprop's own bound lr/√(1−alpha) is 1.58 times: a step that grows by 1/√alpha from one to the "
        "next passes it and any other, while rounding leaves v − g_avg² above 0",
        is_counterexample=True,
    )


LARGEST_STEP = claim(
    "lr-is-largest-step",
    "Adam's largest step",
    "lr is the largest step Adam can take.",
    "false",
    "false",
    r"\max |\Delta_t| \to 7.27 \cdot lr \quad (beta1 = 0.9, \; beta2 = 0.999)",
    scope="adam with default betas; gradients that grow by 11% a step approach it. True for a constant gradient, and of signum and lion",
    source="bounds.adam; counterexample here. 1412.6980, section 2.1, says approximately",
    formula=rules.adam,
    check=_check_largest,
    mutants={"steps follow signs": rules.signum},
)


CENTERED_BOUNDED = claim(
    "centered-rmsprop-bounded",
    "Centered RMSprop's steps",
    "Centered RMSprop has bounded steps.",
    "false",
    "false",
    r"\Delta_t = \frac{lr}{\sqrt{alpha^t (1 - alpha^t)}} \to \infty",
    scope="rmsprop(centered=True) under a constant gradient: no bound holds but the one that eps makes, lr·|g|/eps, which grows with the "
    "gradient",
    source="momentum.constant-gradient-rmsprop-centered and bounds.rmsprop-centered; counterexample here",
    formula=centered_rmsprop,
    check=_check_bounded,
    mutants={"not centered": lambda: rules.rmsprop()},
)
