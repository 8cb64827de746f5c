r"""Rules whose step has one size, and the box that decoupled decay keeps parameters in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.bounds import adam_bound, box_contraction, largest_step
from ..law import Rng, Shown, law, relative
from ..trajectory import replay
from .normalised import adam_numbers, adam_stream

STEPS = 30


def _pushed(rule: Rule, hyper: Any, grads: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.abs(replay(rule, hyper, grads, first).params)


_BOX_MUTANTS = {
    "decay does not depend on lr": lambda excess, lr, weight_decay: (1 - weight_decay) * excess,
    "second power": lambda excess, lr, weight_decay: (1 - lr * weight_decay) ** 2 * excess,
    "no contraction": lambda excess, lr, weight_decay: excess,
}


@law(
    r"""exact bounds.sign-rules: Steps of one size
    |\Delta_t| = lr \quad (\text{rprop: } |\Delta_t| \le step\_size\_max)
    scope: lion and signum (signsgd), decoupled decay left out, wherever the average whose sign is taken is not 0; rprop
    attains its bound where the gradient keeps its sign
    source: 2302.06675, algorithm 2; 1802.04434, algorithm 1; torch/optim/rprop.py (2.13)
    why: relative, both ways: a step is a difference of parameters at most 30·10 steps in size, 300·2^-52 = 7e-14
    """,
    largest_step,
    {
        "learning rate squared": lambda rule, hyper: largest_step(rule, hyper) ** 2,
        "averages make steps smaller": lambda rule, hyper: (
            largest_step(rule, hyper) * (1 - getattr(hyper, "beta1", 0.0))
        ),
    },
    bound=1e-12,
    key=62,
)
def sign_rules(formula: Any, rng: Rng) -> Shown:
    grads = rng.standard_normal((STEPS, 2)) * 10 ** rng.uniform(-3, 3, (STEPS, 2))
    lr = rng.uniform(0.05, 0.5)
    for rule in (rules.lion(), rules.signum()):
        hyper = rule.hyper(lr=lr)
        yield relative(np.abs(replay(rule, hyper, grads).steps), formula(rule, hyper))
    rprop = rules.rprop()
    hyper = rprop.hyper(lr=lr, step_size_max=10 * lr)
    steps = np.abs(replay(rprop, hyper, np.stack([grads[:, 0], np.abs(grads[:, 0])], axis=1)).steps)
    yield relative(steps[-1, 1], formula(rprop, hyper))
    yield steps / formula(rprop, hyper) - 1
    yield f"lion and signum on {STEPS} gradients over six decades, rprop on the same and on their absolute values"


@law(
    r"""exact bounds.box-lion: Lion with decay stays in a box
    |\theta_{t+1}| - \frac{1}{weight\_decay} \le (1 - lr \cdot weight\_decay) \left( |\theta_t| -
    \frac{1}{weight\_decay} \right)
    scope: lion and signum, lr·weight_decay ≤ 1; equality while every sign pushes outward
    source: Chen et al. 2024 (2310.05898), for the limit; derived here step by step
    why: over the size of the box, both ways: a few roundings of parameters of up to three times its size
    """,
    box_contraction,
    _BOX_MUTANTS,
    bound=1e-13,
    key=63,
)
def box_lion(formula: Any, rng: Rng) -> Shown:
    lion = rules.lion()
    hyper = lion.hyper(lr=rng.uniform(0.05, 0.2), weight_decay=rng.uniform(0.2, 1))
    box = 1 / hyper.weight_decay
    first = box * np.array([3.0, 0.2])
    excess = _pushed(lion, hyper, np.full((STEPS, 2), -1.0), first) - box
    yield np.abs(excess[1:] - formula(excess[:-1], hyper.lr, hyper.weight_decay)) / box
    drawn = _pushed(lion, hyper, rng.standard_normal((STEPS, 2)), first) - box
    yield (drawn[1:] - formula(drawn[:-1], hyper.lr, hyper.weight_decay)) / box
    yield f"lion from three times the box and from a fifth of it, {STEPS} steps of gradients that push outward, and of drawn ones"


@law(
    r"""exact bounds.box-adamw: AdamW with decay stays in a box
    |\theta_t| - \frac{U_t}{weight\_decay} \le (1 - lr \cdot weight\_decay) \left( |\theta_{t-1}| -
    \frac{U_t}{weight\_decay} \right), \quad U_t = \max \frac{|\Delta_t|}{lr}
    scope: adamw at eps 0, lr·weight_decay ≤ 1, U_t the bound of bounds.adam; equality at one step under its extremal
    stream. With the limit U (finite for beta1² < beta2) in its place the box is |θ| ≤ U/weight_decay: 7.27/weight_decay
    at 0.9 and 0.999, not attained, since no stream is extremal at every step. Gradients that keep their size and sign
    reach 1/weight_decay
    source: Xie & Li 2024 (2404.04454), for the limit; with the sharp U derived here
    why: over the start's size of 30, both ways at the extremal step: a few roundings of parameters of that size
    """,
    box_contraction,
    _BOX_MUTANTS,
    bound=1e-13,
    key=64,
)
def box_adamw(formula: Any, rng: Rng) -> Shown:
    numbers, t = adam_numbers(rng)
    adamw = rules.adamw()
    hyper = adamw.hyper(lr=rng.uniform(0.05, 0.2), weight_decay=rng.uniform(0.2, 1), eps=0.0, **numbers)
    bounds = np.array([adam_bound(numbers["beta1"], numbers["beta2"], s) for s in range(1, STEPS + 1)])
    box = (bounds / hyper.weight_decay)[:, None]
    first = np.array([30.0, -30.0])

    def passed(grads: np.ndarray) -> np.ndarray:
        size, here = _pushed(adamw, hyper, grads, first), box[: len(grads)]
        return (size[1:] - here - formula(size[:-1] - here, hyper.lr, hyper.weight_decay)) / 30

    attained = passed(-adam_stream(numbers, t)[:, None] * np.sign(first))[-1]
    drawn = passed(rng.standard_normal((STEPS, 2)) * 10 ** rng.uniform(-2, 2, (STEPS, 2)))
    yield (
        f"adamw with {', '.join(f'{k}={v:.3g}' for k, v in numbers.items())} and eps 0 from ±30: the stream that is extremal "
        f"at step {t}, pushing outward, and {STEPS} drawn gradients over four decades"
    )
    yield np.abs(attained)
    yield drawn
    yield {"box at that step": float(box[t - 1, 0])}
