"""Claims about the effective lr of adaptive rules, and how it is averaged."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.bounds import powers
from ..law import Evidence, claim
from ..trajectory import replay

STEPS = 30


def adam_effective_lr(lr: float, beta2: float, eps: float, grads: np.ndarray) -> np.ndarray:
    r"""Adam's effective lr at each step from its gradients alone: :math:`lr/(\sqrt{\hat v_t} + eps)`.

    :math:`\hat v_t` is the mean of squares with weights :math:`beta2^{t-s}`.
    """
    return np.stack(
        [
            lr / (np.sqrt(np.average(grads[:t] ** 2, axis=0, weights=powers(beta2, t))) + eps)
            for t in range(1, len(grads) + 1)
        ]
    )


def _check_adam_lr(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 80])
    adam = rules.adam()
    hyper = adam.hyper(lr=rng.uniform(1e-3, 0.1), beta1=0.8, beta2=rng.uniform(0.8, 0.99), eps=1e-6)
    grads = rng.uniform(0.5, 2, (STEPS, 2)) * np.geomspace(1, 1e-3, STEPS)[:, None]
    run = replay(adam, hyper, grads)
    average = np.stack([np.average(grads[:t], axis=0, weights=powers(0.8, t)) for t in range(1, STEPS + 1)])
    measured = run.steps / average
    expected = formula(hyper.lr, hyper.beta2, hyper.eps, grads)
    return Evidence(
        ran=f"adam at constant lr on {STEPS} gradients that fall a thousandfold: steps over the average gradient",
        residual=float(np.abs(measured / expected - 1).max()),
        bound=1e-12,
        derivation="relative: averages of 30 terms of one sign, and steps taken from parameters at most 30 times their size: some "
        "thousand roundings of 2^-53",
        figures={
            "nominal lr, last over first": 1.0,
            "effective lr, last over first": float((measured[-1] / measured[0]).max()),
        },
    )


def larger_where_gradients_are_small(rule: Rule) -> bool:
    """Whether E falls as the mean square of the gradient grows: not where its variance is what divides."""
    return rule.facts.divides_by == "size"


def _check_small_gradients(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 81])
    steps = 200
    grads = np.stack([10 + 0.01 * rng.standard_normal(steps), rng.choice([-1.0, 1.0], steps)], axis=1)
    cases = [
        rules.sgd(),
        rules.adam(),
        rules.rmsprop(),
        rules.adagrad(),
        rules.adamax(),
        rules.signum(),
        rules.rmsprop(centered=True),
        rules.adabelief(),
    ]
    wrong, figures = 0, {}
    for rule in cases:
        hyper = rule.hyper(lr=0.01, **{name: 0.9 for name in ("alpha", "beta2") if name in rule.Hyper._fields})
        large, small = np.median(replay(rule, hyper, grads).effective_lr[-50:], axis=0)
        wrong += (small > large) != formula(rule)
        figures[f"E where small over E where large, {rule!r}"] = float(small / large)
    return Evidence(
        ran=f"{', '.join(repr(rule) for rule in cases)}: gradients of 10 that hardly change beside ±1 at random, {steps} steps",
        residual=float(wrong),
        bound=0.0,
        derivation="a count: rules for which the coordinate with the larger median E over the last 50 steps is another than stated",
        figures=figures,
    )


def arithmetic_mean(effective_lr: np.ndarray) -> float:
    """Mean over coordinates."""
    return float(np.mean(effective_lr))


def harmonic_mean(effective_lr: np.ndarray) -> float:
    """One over the mean of 1/E."""
    return float(1 / np.mean(1 / effective_lr))


def _check_mean(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 87])
    adam = rules.adam()
    hyper = adam.hyper(lr=1e-3)
    run = replay(adam, hyper, rng.standard_normal((STEPS, 2)) * np.array([1.0, 1e-2]))
    root = np.sqrt(run.states.v[-1] / (1 - hyper.beta2**STEPS))
    claimed = hyper.lr / (root.mean() + hyper.eps)
    found = float(formula(run.effective_lr[-1]))
    # (1 + r)²/(4r) for two coordinates whose roots are apart by r: what Jensen's inequality is off by, to rounding.
    r = float(root[1] / root[0])
    expected = claimed * (1 + r) ** 2 / (4 * r)
    return Evidence(
        ran=f"adam, {STEPS} gradients of size 1 in one coordinate and 0.01 in the other: mean effective lr over lr/(mean of √v̂ + eps)",
        residual=found / claimed if abs(found / expected - 1) < 1e-4 else float("nan"),
        bound=1.01,
        derivation="1, and a percent: the claim is that the two are the same. The arithmetic mean is larger by Jensen's inequality, here by "
        "(1 + r)²/(4r), some 25 times at r = 0.01, and a figure that is not that to 1e-4 (eps is 1e-6 of the smaller root) is none; the "
        "harmonic mean is the same",
        is_counterexample=True,
    )


ADAM_LR_HIDDEN = claim(
    "adam-lr-hidden",
    "Adam's nominal and effective lr",
    "Adam's param_groups[0]['lr'] does not change while its effective lr does.",
    "true",
    "exact",
    r"E_t = \frac{lr}{\sqrt{\hat v_t} + eps}, \quad \hat v_t = \frac{\sum_{s \le t} beta2^{t-s} g_s^2}{\sum_{s \le t} beta2^{t-s}}",
    scope="adam and adamw without a scheduler, which alone writes to param_groups; E of each coordinate follows its squared gradients",
    source="1412.6980, algorithm 1; torch/optim/adam.py (2.13), which never writes lr; in torch itself by test",
    formula=adam_effective_lr,
    check=_check_adam_lr,
    mutants={
        "the effective lr is lr": lambda lr, beta2, eps, grads: np.full(grads.shape, lr),
        "the last gradient alone": lambda lr, beta2, eps, grads: lr / (np.abs(grads) + eps),
    },
)


SMALL_GRADIENTS = claim(
    "adaptive-favours-small",
    "Where adaptive rules give a larger lr",
    "Adaptive rules give a larger lr where gradients are small.",
    "depends",
    "exact",
    r"E = \frac{lr}{rms(g) + eps} \quad (\text{centered: } \frac{lr}{std(g) + eps}; \; \text{adabelief: } std(g)\, beta1 \sqrt{\tfrac{2}{1 + beta1}} \text{ for } std(g))",
    scope="true of rules that divide by the root mean square or maximum of gradients, or follow signs: adam, rmsprop, adagrad, adamax, "
    "signum; up to lr/eps. False of centered rmsprop and adabelief, which divide by the deviation: steady gradients get a larger lr, "
    "however large they are",
    source="definitions of the rules; 1308.0850, eq. 38-45; 2010.07468; measured here",
    formula=larger_where_gradients_are_small,
    check=_check_small_gradients,
    mutants={"all adaptive rules": lambda rule: rule.facts.divides_by != "nothing", "none": lambda rule: False},
)


MEAN_EFFECTIVE_LR = claim(
    "mean-effective-lr",
    "Which mean lr/(mean of √v + eps) is",
    "lr/(mean of √v + eps) is the mean effective lr.",
    "false",
    "false",
    r"\frac{lr}{mean(\sqrt{\hat v}) + eps} = \frac{1}{mean(1/E)} \le mean(E)",
    scope="adam: it is the harmonic mean over coordinates (with v̂ for v), and the arithmetic one only where all coordinates are equal. For "
    "two coordinates whose gradients are two decades apart it is 25 times too small, for many spread evenly in log scale between 4.6",
    source="Jensen's inequality; derived here",
    formula=arithmetic_mean,
    check=_check_mean,
    mutants={"the harmonic mean is meant": harmonic_mean},
)
