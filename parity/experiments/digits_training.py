"""The real model: every rule under constant lr and schedules, in both frameworks, step for step on the same numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrtheory import effective, rules
from parity.report.data import Layer, Training

from ..training import (
    CONSTANT,
    NORMALISED,
    PLAIN,
    Mlp,
    Plan,
    Setup,
    batches,
    distance,
    load_digits,
    train_jax,
    train_torch,
)
from .values import curve

STEPS = 300
BATCH = 64
RECORD_EVERY = 10

Progress = Callable[[str, float], None]

SGD_MOMENTUM = Setup("SGD with momentum", rules.sgd(), {"lr": 0.05, "momentum": 0.9})
ADAM = Setup("adam", rules.adam(), {"lr": 3e-3})
ADAMW = Setup("adamw", rules.adamw(), {"lr": 3e-3, "weight_decay": 0.1})
RMSPROP = Setup("rmsprop", rules.rmsprop(), {"lr": 1e-3})
SETUPS = (SGD_MOMENTUM, ADAM, ADAMW, RMSPROP)

COSINE = Plan("cosine_annealing", {"T_max": STEPS})
ONE_CYCLE = Plan("one_cycle", {"total_steps": STEPS})
PLANS = (  # Adam first: the page opens with the first run, and there every layer has an lr of its own
    (ADAM, (CONSTANT, COSINE, ONE_CYCLE)),
    (SGD_MOMENTUM, (CONSTANT, COSINE, ONE_CYCLE)),
    (ADAMW, (CONSTANT, COSINE)),
    (RMSPROP, (CONSTANT, COSINE)),
)
PLAN_NAMES = {"constant": "constant", "cosine_annealing": "cosine", "one_cycle": "one-cycle"}


@dataclass(frozen=True)
class Run:
    """One model trained with one setup in one dtype."""

    model: Mlp
    setup: Setup
    dtype: str = "float64"

    @property
    def label(self) -> str:
        """The run in words."""
        return f"{self.model.name}, {self.setup.label}, {PLAN_NAMES[self.setup.plan.name]} lr"


def _planned(setup: Setup, plan: Plan) -> Setup:
    return Setup(setup.label, setup.rule, setup.numbers, plan)


def runs(*, quick: bool = False) -> list[Run]:
    """All runs; quick has one schedule for two rules, Adam alone on the normalised model, and no float32."""
    if quick:
        scheduled = [Run(PLAIN, _planned(ADAM, COSINE)), Run(PLAIN, _planned(SGD_MOMENTUM, ONE_CYCLE))]
        return [*(Run(PLAIN, setup) for setup, _ in PLANS), *scheduled, Run(NORMALISED, ADAM)]
    plain = [Run(PLAIN, _planned(setup, plan)) for setup, plans in PLANS for plan in plans]
    chosen = [*plain, *(Run(NORMALISED, setup) for setup in SETUPS), Run(NORMALISED, _planned(ADAM, COSINE))]
    return [*chosen, Run(PLAIN, SGD_MOMENTUM, "float32"), Run(PLAIN, ADAM, "float32")]


def drawn_batches(seed: int) -> np.ndarray:
    """The batches of every run of a seed."""
    return batches.shuffled(len(load_digits(seed).train_y), BATCH, STEPS, seed)


def recorded_steps() -> np.ndarray:
    """The first step and every tenth."""
    return np.unique([1, *range(RECORD_EVERY, STEPS + 1, RECORD_EVERY)])


def observe_layers(rule: Any, hyper: Any, state: Any, grads: Any, before: Any, after: Any) -> dict[str, dict[str, Any]]:
    """Of :func:`lrtheory.effective.measure`, what a report shows of each parameter."""
    summaries = effective.measure(rule, hyper, state, grads, before, after, quantiles=(0.05, 0.5, 0.95))
    return {
        name: {
            **dict(zip(("q05", "q50", "q95"), s.quantiles, strict=True)),
            **{field: getattr(s, field) for field in FIELDS},
        }
        for name, s in summaries.items()
    }


UNOBSERVED: dict[str, Any] = {"observe": observe_layers, "recorded": ()}
"""Options of ``train_jax`` for a run that observes nothing, but shares the program compiled for those that do."""

FIELDS = ("harmonic_mean", "eps_dominated", "relative_update", "decay_share")


def measure(seed: int, *, quick: bool = False, progress: Progress = lambda text, done: None) -> list[Training]:
    """Train and compare every run.

    Two runs at a time, because compiling keeps one core busy; those that share a compiled program follow each other.
    """
    chosen = runs(quick=quick)
    families = [list(group) for _, group in itertools.groupby(chosen, lambda r: (r.model, r.setup.rule, r.dtype))]
    done = itertools.count(1)

    def measure_family(family: list[Run]) -> list[Training]:
        found = []
        for run in family:
            found.append(measure_run(run, seed))
            progress(f"training: {run.label}", next(done) / len(chosen))
        return found

    with ThreadPoolExecutor(2) as pool:
        return [training for family in pool.map(measure_family, families) for training in family]


def measure_run(run: Run, seed: int) -> Training:
    """One run in both frameworks."""
    digits = load_digits(seed)
    problem, rows, step = run.model.on(digits, seed), drawn_batches(seed), recorded_steps()
    ours = train_jax(problem, run.setup, rows, dtype=run.dtype, observe=observe_layers, recorded=step)
    theirs = train_torch(problem, run.setup, rows, dtype=run.dtype)
    apart = distance(theirs, ours)
    return Training(
        model=run.model.name if run.dtype == "float64" else f"{run.model.name} in {run.dtype}",
        rule=run.setup.label,
        schedule=PLAN_NAMES[run.setup.plan.name],
        steps=len(rows),
        dtype=run.dtype,
        step=step.tolist(),
        nominal_lr=curve(ours.lr[step - 1]),
        loss_jax=curve(ours.loss[step - 1]),
        loss_torch=curve(theirs.loss[step - 1]),
        accuracy_jax=run.model.accuracy_jax(ours.last, digits),
        accuracy_torch=run.model.accuracy_torch(theirs.last, digits),
        largest_difference=apart.largest,
        first_difference_step=apart.first_step,
        layers=[Layer(name=name, **{k: curve(v) for k, v in ours.seen[name].items()}) for name in problem.initial],
    )
