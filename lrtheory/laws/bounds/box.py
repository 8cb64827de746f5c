r"""Rules whose step has one size, and the box that decoupled decay keeps parameters in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.bounds import adam_bound, box_contraction, largest_step
from ..law import Evidence, Law
from ..trajectory import replay
from .normalised import adam_numbers, adam_stream

STEPS = 30


def _check_signs(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 62])
    grads = rng.standard_normal((STEPS, 2)) * 10 ** rng.uniform(-3, 3, (STEPS, 2))
    lr, worst = rng.uniform(0.05, 0.5), 0.0
    for rule in (rules.lion(), rules.signum()):
        hyper = rule.hyper(lr=lr)
        worst = max(worst, float(np.abs(np.abs(replay(rule, hyper, grads).steps) / formula(rule, hyper) - 1).max()))
    rprop = rules.rprop()
    hyper = rprop.hyper(lr=lr, step_size_max=10 * lr)
    steps = np.abs(replay(rprop, hyper, np.stack([grads[:, 0], np.abs(grads[:, 0])], axis=1)).steps)
    worst = max(
        worst, abs(float(steps[-1, 1]) / formula(rprop, hyper) - 1), float(steps.max() / formula(rprop, hyper)) - 1
    )
    return Evidence(
        ran=f"lion and signum on {STEPS} gradients over six decades, rprop on the same and on their absolute values",
        residual=worst,
        bound=1e-12,
        derivation="relative, both ways: a step is a difference of parameters at most 30·10 steps in size, 300·2^-52 = 7e-14",
    )


def _pushed(rule: Rule, hyper: Any, grads: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.abs(replay(rule, hyper, grads, first).params)


def _check_lion(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 63])
    lion = rules.lion()
    hyper = lion.hyper(lr=rng.uniform(0.05, 0.2), weight_decay=rng.uniform(0.2, 1))
    box = 1 / hyper.weight_decay
    first = box * np.array([3.0, 0.2])
    excess = _pushed(lion, hyper, np.full((STEPS, 2), -1.0), first) - box
    worst = float(np.abs(excess[1:] - formula(excess[:-1], hyper.lr, hyper.weight_decay)).max())
    drawn = _pushed(lion, hyper, rng.standard_normal((STEPS, 2)), first) - box
    worst = max(worst, float((drawn[1:] - formula(drawn[:-1], hyper.lr, hyper.weight_decay)).max()))
    return Evidence(
        ran=f"lion from three times the box and from a fifth of it, {STEPS} steps of gradients that push outward, and of drawn ones",
        residual=worst / box,
        bound=1e-13,
        derivation="over the size of the box, both ways: a few roundings of parameters of up to three times its size",
    )


def _check_adamw(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 64])
    numbers, t = adam_numbers(rng)
    adamw = rules.adamw()
    hyper = adamw.hyper(lr=rng.uniform(0.05, 0.2), weight_decay=rng.uniform(0.2, 1), eps=0.0, **numbers)
    bounds = np.array([adam_bound(numbers["beta1"], numbers["beta2"], s) for s in range(1, STEPS + 1)])
    box = (bounds / hyper.weight_decay)[:, None]
    first = np.array([30.0, -30.0])

    def passed(grads: np.ndarray) -> np.ndarray:
        size = _pushed(adamw, hyper, grads, first)
        size, after = size[: len(grads)], size[1:]
        here = box[: len(grads)]
        return (after - here - formula(size - here, hyper.lr, hyper.weight_decay)) / 30

    attained = passed(-adam_stream(numbers, t)[:, None] * np.sign(first))[-1]
    drawn = passed(rng.standard_normal((STEPS, 2)) * 10 ** rng.uniform(-2, 2, (STEPS, 2)))
    return Evidence(
        ran=f"adamw with {', '.join(f'{k}={v:.3g}' for k, v in numbers.items())} and eps 0 from ±30: the stream that is extremal "
        f"at step {t}, pushing outward, and {STEPS} drawn gradients over four decades",
        residual=max(float(np.abs(attained).max()), float(drawn.max())),
        bound=1e-13,
        derivation="over the start's size of 30, both ways at the extremal step: a few roundings of parameters of that size",
        figures={"box at that step": float(box[t - 1, 0])},
    )


def _decay_alone(excess: Any, lr: float, weight_decay: float) -> np.ndarray:
    return (1 - weight_decay) * np.asarray(excess)


_BOX_MUTANTS = {
    "decay does not depend on lr": _decay_alone,
    "second power": lambda excess, lr, weight_decay: (1 - lr * weight_decay) ** 2 * np.asarray(excess),
    "no contraction": lambda excess, lr, weight_decay: np.asarray(excess),
}

LAWS = (
    Law(
        id="bounds.sign-rules",
        title="Steps of one size",
        statement=r"|\Delta_t| = lr \quad (\text{rprop: } |\Delta_t| \le step\_size\_max)",
        kind="exact",
        scope="lion and signum (signsgd), decoupled decay left out, wherever the average whose sign is taken is not 0; rprop attains "
        "its bound where the gradient keeps its sign",
        source="2302.06675, algorithm 2; 1802.04434, algorithm 1; torch/optim/rprop.py (2.13)",
        formula=largest_step,
        check=_check_signs,
        mutants={
            "learning rate squared": lambda rule, hyper: largest_step(rule, hyper) ** 2,
            "averages make steps smaller": lambda rule, hyper: (
                largest_step(rule, hyper) * (1 - getattr(hyper, "beta1", 0.0))
            ),
        },
    ),
    Law(
        id="bounds.box-lion",
        title="Lion with decay stays in a box",
        statement=r"|\theta_{t+1}| - \frac{1}{weight\_decay} \le (1 - lr \cdot weight\_decay) \left( |\theta_t| - "
        r"\frac{1}{weight\_decay} \right)",
        kind="exact",
        scope="lion and signum, lr·weight_decay ≤ 1; equality while every sign pushes outward",
        source="Chen et al. 2024 (2310.05898), for the limit; derived here step by step",
        formula=box_contraction,
        check=_check_lion,
        mutants=_BOX_MUTANTS,
    ),
    Law(
        id="bounds.box-adamw",
        title="AdamW with decay stays in a box",
        statement=r"|\theta_t| - \frac{U_t}{weight\_decay} \le (1 - lr \cdot weight\_decay) \left( |\theta_{t-1}| - "
        r"\frac{U_t}{weight\_decay} \right), \quad U_t = \max \frac{|\Delta_t|}{lr}",
        kind="exact",
        scope="adamw at eps 0, lr·weight_decay ≤ 1, U_t the bound of bounds.adam; equality at one step under its extremal stream. "
        "With the limit U (finite for beta1² < beta2) in its place the box is |θ| ≤ U/weight_decay: 7.27/weight_decay at 0.9 and "
        "0.999, not attained, since no stream is extremal at every step. Gradients that keep their size and sign reach "
        "1/weight_decay",
        source="Xie & Li 2024 (2404.04454), for the limit; with the sharp U derived here",
        formula=box_contraction,
        check=_check_adamw,
        mutants=_BOX_MUTANTS,
    ),
)
