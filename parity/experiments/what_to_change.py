"""What to set instead: the digits runs with another loss and another batch, predicted from the run as it is.

A loss 128 times as large must give the same run, in both frameworks. A batch four times as large is fed the same examples
in the same order and must give the same curve over the examples seen, on average over draws and to first order in the lr.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import lrtheory
from lrtheory.words import changed, figure, listed, spoken

from ..measured import ChangedRun, Verdict, curve, finite
from ..training import BEYOND_ROUNDING, PLAIN, Setup, distance, load_digits, train_jax, train_torch
from .digits_training import ADAM, ADAMW, BATCH, SGD_MOMENTUM, STEPS, UNOBSERVED, drawn_batches

LOSS = 128.0
KAPPA = 4
SEEDS = 4
"""Draws of batches that curves of another batch size are averaged over."""

AS_IS, UNCHANGED, RESCALED = "as it is", "unchanged hyperparameters", "rescaled"


def measure(seed: int, *, quick: bool = False) -> list[ChangedRun]:
    """Every rule with both changes, as it is, with unchanged hyperparameters, and with those of ``lrtheory.rescale``.

    Quick leaves AdamW out.
    """
    rules = (SGD_MOMENTUM, ADAM) if quick else (SGD_MOMENTUM, ADAM, ADAMW)
    return [run for setup in rules for run in (*loss_change(setup, seed), *batch_change(setup, seed))]


def rescaled(setup: Setup, **change: Any) -> tuple[Setup, Any]:
    """The setup with the hyperparameters for that change, and the answer they come from."""
    answer = lrtheory.rescale(setup.rule, setup.hyper, reduction="mean", **change)
    return setup.with_hyper(answer.hyper), answer


def loss_change(setup: Setup, seed: int) -> list[ChangedRun]:
    """The loss times 128, in both frameworks."""
    problem, rows = PLAIN.on(load_digits(seed), seed), drawn_batches(seed)
    after, answer = rescaled(setup, loss=LOSS)
    runs = []
    for framework, train, options in (("jax", train_jax, UNOBSERVED), ("torch", train_torch, {})):
        base = train(problem, setup, rows, **options)
        for variant, chosen, scale in ((AS_IS, setup, 1.0), (UNCHANGED, setup, LOSS), (RESCALED, after, LOSS)):
            found = base if variant == AS_IS else train(problem, chosen, rows, loss_scale=scale, **options)
            apart = None if found.diverged else finite(distance(base, found).largest)
            change = f"loss ×{LOSS:g}"
            loss = found.loss / scale
            runs.append(_run(setup.label, change, variant, framework, chosen, answer, loss, distance=apart))
    return runs


def batch_change(setup: Setup, seed: int) -> list[ChangedRun]:
    """The batch times 4, curves averaged over draws; losses are those of 256 examples on either side."""
    after, answer = rescaled(setup, batch=KAPPA)
    problem = PLAIN.on(load_digits(seed), seed)
    curves: dict[str, list[np.ndarray]] = {AS_IS: [], UNCHANGED: [], RESCALED: []}
    for draw in range(SEEDS):
        small = problem.shuffled(BATCH, STEPS, seed + draw)
        large = small.reshape(STEPS // KAPPA, KAPPA * BATCH)
        base = train_jax(problem, setup, small, **UNOBSERVED)
        curves[AS_IS].append(base.loss.reshape(-1, KAPPA).mean(axis=1))
        for variant, chosen in ((UNCHANGED, setup), (RESCALED, after)):
            curves[variant].append(train_jax(problem, chosen, large, **UNOBSERVED).loss)
    mean = {variant: np.mean(found, axis=0) for variant, found in curves.items()}
    return [
        _run(
            setup.label,
            f"batch ×{KAPPA}",
            variant,
            "jax",
            after if variant == RESCALED else setup,
            answer,
            loss,
            gap=gap(mean[AS_IS], loss),
            spread=_spread(curves[AS_IS]) if variant == AS_IS else None,
        )
        for variant, loss in mean.items()
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
    rule: str,
    change: str,
    variant: str,
    framework: str,
    chosen: Setup,
    answer: Any,
    loss: np.ndarray,
    *,
    distance: float | None = None,
    gap: float | None = None,
    spread: float | None = None,
) -> ChangedRun:
    return ChangedRun(
        rule=rule,
        change=change,
        variant=variant,
        framework=framework,
        examples=(BATCH * STEPS // len(loss) * np.arange(1, len(loss) + 1)).tolist(),
        loss=curve(loss),
        hyper={name: float(value) for name, value in chosen.hyper._asdict().items() if value},
        exactness=answer.exactness,
        method=answer.method,
        notes=list(answer.notes),
        distance=distance,
        gap=gap,
        spread=spread,
    )


HALVED = 0.5
"""A batch rule is said to work if it takes off half of the gap that unchanged hyperparameters leave: a convention."""


def loss_verdict(runs: list[ChangedRun]) -> Verdict:
    """Whether the rescaled hyperparameters give the run with the loss as it was."""
    chosen, remedies = _of_change(runs, "loss")
    apart = {(run["rule"], run["framework"]): run["distance"] for run in chosen if run["variant"] == RESCALED}
    kept = {run["rule"]: run["distance"] for run in chosen if run["variant"] == UNCHANGED}
    off = [
        f"{spoken(rule)} in {spoken(framework)}"
        for (rule, framework), distance in apart.items()
        if distance is None or not distance <= BEYOND_ROUNDING
    ]
    bits = all(distance == 0 for distance in apart.values())
    factor = chosen[0]["change"].removeprefix("loss ×")
    return Verdict(
        id="change-loss",
        question=f"The loss is {factor} times as large: what do I set to train the same model?",
        outcome="fails" if off else "holds",
        sentence=f"Not what lrtheory.rescale says: {listed(off)} train another model."
        if off
        else "What lrtheory.rescale says: "
        + "; ".join(f"{spoken(rule)} {remedy}" for rule, remedy in remedies.items())
        + f". The runs are the same {'bit for bit' if bits else 'to rounding'}.",
        evidence="Largest distance from the run as it was, over its travel: "
        + "; ".join(f"{spoken(rule)} in {spoken(framework)} {_far(d)}" for (rule, framework), d in apart.items())
        + ". With unchanged hyperparameters: "
        + "; ".join(f"{spoken(rule)} {_far(distance)}" for rule, distance in kept.items())
        + ".",
        advice=f'lrtheory explain "torch.optim.Adam(lr=3e-3)" --loss-scale {factor} prints what to set, as code to paste.',
        figure="what-to-change",
    )


def batch_verdict(runs: list[ChangedRun]) -> Verdict:
    """Whether the rescaled hyperparameters bring the loss over the examples seen near that of the smaller batch."""
    chosen, remedies = _of_change(runs, "batch")
    gaps = {run["rule"]: run["gap"] for run in chosen if run["variant"] == RESCALED}
    kept = {run["rule"]: run["gap"] for run in chosen if run["variant"] == UNCHANGED}
    chance = {run["rule"]: run["spread"] for run in chosen if run["spread"] is not None}
    left = {
        rule: math.inf if gap is None else gap for rule, gap in kept.items()
    }  # None: the loss left the real numbers
    failed = [rule for rule, gap in gaps.items() if gap is None or not gap <= HALVED * left[rule]]
    within = not failed and all((gap or 0.0) <= 3 * (chance[rule] or 0.0) for rule, gap in gaps.items())
    factor = chosen[0]["change"].removeprefix("batch ×")
    methods = {run["rule"]: run["method"] for run in chosen}
    if failed:
        sentence = f"The rule for the batch does not help {listed(spoken(rule) for rule in failed)} here."
    elif within:
        sentence = (
            "What lrtheory.rescale says: over the examples seen, the loss falls as before, within what chance does."
        )
    else:
        sentence = (
            "What lrtheory.rescale says comes near: it takes off at least half of the gap that unchanged hyperparameters "
            "leave, but not all of it."
        )
    return Verdict(
        id="change-batch",
        question=f"The batch is {factor} times as large: what do I set to learn as much from an example?",
        outcome="fails" if failed else "holds" if within else "depends",
        sentence=sentence,
        evidence="Typical factor between the losses: "
        + "; ".join(
            f"{spoken(rule)} {_factor(gaps[rule])} rescaled ({methods[rule]} rule: {remedies[rule]}), "
            f"{_factor(kept[rule])} with unchanged hyperparameters, {_factor(chance[rule])} by chance"
            for rule in gaps
        )
        + ".",
        advice=f'lrtheory explain "torch.optim.Adam(lr=3e-3)" --batch-scale {factor} prints what to set, how exact it is and '
        "under which conditions. Warm up, and check the first epoch.",
        figure="what-to-change",
    )


def _of_change(runs: list[ChangedRun], change: str) -> tuple[list[ChangedRun], dict[str, str]]:
    """The runs with that change, and what the rescaled ones set, by rule."""
    chosen = [run for run in runs if run["change"].startswith(change)]
    if not chosen:
        raise ValueError(f"no run with another {change}: a verdict on nothing would be none")
    hyper = {(run["rule"], run["variant"]): run["hyper"] for run in chosen}
    rules = dict.fromkeys(run["rule"] for run in chosen)
    return chosen, {rule: changed(hyper[rule, UNCHANGED], hyper[rule, RESCALED]) for rule in rules}


def _far(distance: float | None) -> str:
    return "diverges" if distance is None else figure(distance)


def _factor(gap: float | None) -> str:
    return "without bound" if gap is None else f"{math.exp(gap):.3g}"
