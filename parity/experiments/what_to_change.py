"""What to set instead: the digits runs with another loss and another batch, predicted from the run as it is.

A loss 128 times as large must give the same run, in both frameworks. A batch four times as large is fed the same examples
in the same order and must give the same curve over the examples seen, on average over draws and to first order in the lr.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import lrtheory
from parity.report.data import ChangedRun

from ..training import PLAIN, Setup, batches, distance, load_digits, train_jax, train_torch
from .digits_training import ADAM, ADAMW, BATCH, SGD_MOMENTUM, STEPS, UNOBSERVED
from .values import curve, finite

LOSS = 128.0
KAPPA = 4
SEEDS = 4
"""Draws of batches that curves of another batch size are averaged over."""

AS_IS, SAME_NUMBERS, RESCALED = "as it is", "same numbers", "rescaled"


def measure(seed: int, *, quick: bool = False) -> list[ChangedRun]:
    """Every rule with both changes, as it is, with its numbers kept, and with those that ``lrtheory.rescale`` gives.

    Quick leaves AdamW out.
    """
    rules = (SGD_MOMENTUM, ADAM) if quick else (SGD_MOMENTUM, ADAM, ADAMW)
    return [run for setup in rules for run in (*loss_change(setup, seed), *batch_change(setup, seed))]


def rescaled(setup: Setup, **change: Any) -> tuple[Setup, Any]:
    """The setup with the numbers for that change, and the answer they come from."""
    answer = lrtheory.rescale(setup.rule, setup.rule.hyper(**setup.numbers), reduction="mean", **change)
    numbers = {name: value for name, value in answer.hyper._asdict().items() if value is not None}
    return replace(setup, numbers=numbers), answer


def loss_change(setup: Setup, seed: int) -> list[ChangedRun]:
    """The loss times 128, in both frameworks."""
    problem = PLAIN.on(load_digits(seed), seed)
    rows = batches.shuffled(len(load_digits(seed).train_y), BATCH, STEPS, seed)
    after, answer = rescaled(setup, loss=LOSS)
    runs = []
    for framework, train, options in (("jax", train_jax, UNOBSERVED), ("torch", train_torch, {})):
        base = train(problem, setup, rows, **options)
        for variant, chosen, scale in ((AS_IS, setup, 1.0), (SAME_NUMBERS, setup, LOSS), (RESCALED, after, LOSS)):
            found = base if variant == AS_IS else train(problem, chosen, rows, loss_scale=scale, **options)
            runs.append(
                _run(
                    setup,
                    f"loss ×{LOSS:g}",
                    variant,
                    framework,
                    chosen,
                    answer,
                    examples=BATCH * np.arange(1, STEPS + 1),
                    loss=found.loss / scale,
                    distance=None if found.diverged else finite(distance(base, found).largest),
                )
            )
    return runs


def batch_change(setup: Setup, seed: int) -> list[ChangedRun]:
    """The batch times 4, curves averaged over draws; losses are those of 256 examples on either side."""
    after, answer = rescaled(setup, batch=KAPPA)
    problem = PLAIN.on(load_digits(seed), seed)
    curves: dict[str, list[np.ndarray]] = {AS_IS: [], SAME_NUMBERS: [], RESCALED: []}
    for draw in range(SEEDS):
        small = batches.shuffled(len(load_digits(seed).train_y), BATCH, STEPS, seed + draw)
        large = small.reshape(STEPS // KAPPA, KAPPA * BATCH)
        base = train_jax(problem, setup, small, **UNOBSERVED)
        curves[AS_IS].append(base.loss.reshape(-1, KAPPA).mean(axis=1))
        for variant, chosen in ((SAME_NUMBERS, setup), (RESCALED, after)):
            curves[variant].append(train_jax(problem, chosen, large, **UNOBSERVED).loss)
    mean = {variant: np.mean(found, axis=0) for variant, found in curves.items()}
    return [
        _run(
            setup,
            f"batch ×{KAPPA}",
            variant,
            "jax",
            after if variant == RESCALED else setup,
            answer,
            examples=BATCH * KAPPA * np.arange(1, STEPS // KAPPA + 1),
            loss=mean[variant],
            gap=gap(mean[AS_IS], mean[variant]),
            spread=_spread(curves[AS_IS]) if variant == AS_IS else None,
        )
        for variant in mean
    ]


def gap(base: np.ndarray, other: np.ndarray) -> float | None:
    """How far apart two curves are: root mean square of the logarithm of their ratio, the first point left out, which is
    before any step.
    """
    with np.errstate(all="ignore"):
        return finite(float(np.sqrt(np.mean(np.log(other[1:] / base[1:]) ** 2))))


def _spread(curves: list[np.ndarray]) -> float | None:
    """The same between single draws and their mean, over the root of their number: what chance leaves in the mean."""
    mean = np.mean(curves, axis=0)
    squares = [np.mean(np.log(one[1:] / mean[1:]) ** 2) for one in curves]
    return finite(float(np.sqrt(np.mean(squares) / (len(curves) - 1))))


def _run(
    setup: Setup,
    change: str,
    variant: str,
    framework: str,
    chosen: Setup,
    answer: Any,
    *,
    examples: np.ndarray,
    loss: np.ndarray,
    distance: float | None = None,
    gap: float | None = None,
    spread: float | None = None,
) -> ChangedRun:
    numbers = setup.rule.hyper(**chosen.numbers)._asdict()
    return ChangedRun(
        rule=setup.label,
        change=change,
        variant=variant,
        framework=framework,
        examples=examples.tolist(),
        loss=curve(loss),
        hyper={name: float(value) for name, value in numbers.items() if value},
        exactness=answer.exactness,
        method=answer.method,
        notes=list(answer.notes),
        distance=distance,
        gap=gap,
        spread=spread,
    )
