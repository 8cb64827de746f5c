"""The real model: every rule under constant lr and schedules, in both frameworks, step for step on the same numbers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import jax
import numpy as np

from lrtheory import effective, rules
from lrtheory.dims.model import symmetries
from lrtheory.words import figure, listed, percent, spoken

from ..cases import LrSchedule
from ..measured import Curve, Layer, TrainingRun, Verdict, curve, graded, run_label
from ..training import (
    BEYOND_ROUNDING,
    NORMALISED,
    PLAIN,
    Mlp,
    Setup,
    distance,
    load_digits,
    train_jax,
    train_torch,
)

STEPS = 300
BATCH = 64
RECORD_EVERY = 10

Progress = Callable[[str, float], None]

SGD_MOMENTUM = Setup("SGD with momentum", rules.sgd(), {"lr": 0.05, "momentum": 0.9})
ADAM = Setup("adam", rules.adam(), {"lr": 3e-3})
ADAMW = Setup("adamw", rules.adamw(), {"lr": 3e-3, "weight_decay": 0.1})
RMSPROP = Setup("rmsprop", rules.rmsprop(), {"lr": 1e-3})
SETUPS = (SGD_MOMENTUM, ADAM, ADAMW, RMSPROP)

CONSTANT = LrSchedule()
COSINE = LrSchedule("cosine_annealing", {"T_max": STEPS})
ONE_CYCLE = LrSchedule("one_cycle", {"total_steps": STEPS})
SCHEDULED = (  # Adam first: the page opens with the first run, and there every layer has an lr of its own
    (ADAM, (CONSTANT, COSINE, ONE_CYCLE)),
    (SGD_MOMENTUM, (CONSTANT, COSINE, ONE_CYCLE)),
    (ADAMW, (CONSTANT, COSINE)),
    (RMSPROP, (CONSTANT, COSINE)),
)
SCHEDULE_NAMES = {"constant": "constant", "cosine_annealing": "cosine", "one_cycle": "one-cycle"}


@dataclass(frozen=True)
class Planned:
    """One model to be trained with one setup in one dtype."""

    model: Mlp
    setup: Setup
    dtype: str = "float64"

    @property
    def label(self) -> str:
        """The run in words."""
        return f"{self.model.name}, {self.setup.label}, {SCHEDULE_NAMES[self.setup.schedule.name]} lr"


def runs(*, quick: bool = False) -> list[Planned]:
    """All runs; quick has one schedule for two rules, Adam alone on the normalised model, and no float32."""
    if quick:
        scheduled = (replace(ADAM, schedule=COSINE), replace(SGD_MOMENTUM, schedule=ONE_CYCLE))
        plain = [*(setup for setup, _ in SCHEDULED), *scheduled]
        return [*(Planned(PLAIN, setup) for setup in plain), Planned(NORMALISED, ADAM)]
    plain = [replace(setup, schedule=schedule) for setup, schedules in SCHEDULED for schedule in schedules]
    normalised = (*SETUPS, replace(ADAM, schedule=COSINE))
    return [
        *(Planned(PLAIN, setup) for setup in plain),
        *(Planned(NORMALISED, setup) for setup in normalised),
        *(Planned(PLAIN, setup, "float32") for setup in (SGD_MOMENTUM, ADAM)),
    ]


def drawn_batches(seed: int) -> np.ndarray:
    """The batches of every run of a seed."""
    return PLAIN.on(load_digits(seed), seed).shuffled(BATCH, STEPS, seed)


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

FIELDS = ("harmonic_mean", "eps_dominated", "relative_update", "decay_share", "angular_lr", "rotation")


def measure(seed: int, *, quick: bool = False, progress: Progress = lambda text, done: None) -> list[TrainingRun]:
    """Train and compare every run.

    Two runs at a time, because compiling keeps one core busy; those that share a compiled program follow each other.
    """
    chosen = runs(quick=quick)
    families = [list(group) for _, group in itertools.groupby(chosen, lambda r: (r.model, r.setup.rule, r.dtype))]
    done = itertools.count(1)

    def measure_family(family: list[Planned]) -> list[TrainingRun]:
        found = []
        for run in family:
            found.append(measure_run(run, seed))
            progress(f"training: {run.label}", next(done) / len(chosen))
        return found

    with ThreadPoolExecutor(2) as pool:
        return [training for family in pool.map(measure_family, families) for training in family]


def measure_run(run: Planned, seed: int) -> TrainingRun:
    """One run in both frameworks."""
    digits = load_digits(seed)
    problem, rows, step = run.model.on(digits, seed), drawn_batches(seed), recorded_steps()
    ours = train_jax(problem, run.setup, rows, dtype=run.dtype, observe=observe_layers, recorded=step)
    theirs = train_torch(problem, run.setup, rows, dtype=run.dtype)
    apart, found = distance(theirs, ours), scale_invariant(run.model)
    return TrainingRun(
        model=run.model.name if run.dtype == "float64" else f"{run.model.name} in {run.dtype}",
        rule=run.setup.label,
        schedule=SCHEDULE_NAMES[run.setup.schedule.name],
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
        layers=[
            Layer(name=name, scale_invariant=name in found, **{k: curve(v) for k, v in ours.seen[name].items()})
            for name in problem.initial
        ],
    )


@functools.cache
def scale_invariant(model: Mlp) -> tuple[str, ...]:
    """Tensors that may be multiplied alone without changing the loss, up to the eps of a norm: found in the program of the loss."""
    params = {name: jax.ShapeDtypeStruct(value.shape, np.float32) for name, value in model.initial(0).items()}
    rows = jax.ShapeDtypeStruct((2, model.widths[0]), np.float32), jax.ShapeDtypeStruct((2,), np.int32)
    return symmetries(model.loss, params, *rows).invariant


GUIDE = 1e-3
"""Relative update of a healthy layer: a rule of thumb, no law."""

NOTICEABLE = 0.01
"""Share of eps-dominated coordinates from which eps has a say in how a layer trains: a convention."""

AS_SET = 0.1
"""An effective lr within this of the nominal one, relatively, is what was set."""


def agreement(runs: list[TrainingRun]) -> Verdict:
    """Whether both frameworks train the same, step for step."""
    double = [run for run in runs if run["dtype"] == "float64"]
    if not double:
        raise ValueError("no run in float64 to compare the frameworks by")
    worst = max(double, key=lambda run: run["largest_difference"])
    off = [run for run in double if not run["largest_difference"] <= BEYOND_ROUNDING]
    single = [run["largest_difference"] for run in runs if run["dtype"] == "float32"]
    evidence = (
        f"Largest difference of any parameter at any of {worst['steps']} steps: {figure(worst['largest_difference'])} of "
        f"the distance travelled ({run_label(worst)}), over {len(double)} runs in float64 with at most "
        f"{BEYOND_ROUNDING:g} allowed."
    )
    if single:
        evidence += f" In float32, where rounding is 5e8 times coarser: {figure(max(single))}."
    return Verdict(
        id="frameworks-agree",
        question="Do JAX and PyTorch train the same model, step for step?",
        outcome="fails" if off else "holds",
        sentence="No: "
        + listed(f"{run_label(run)} differs from step {run['first_difference_step']}" for run in off)
        + "."
        if off
        else "Yes. Each computes its own gradients, rule and schedule, and they stay together to the last digits.",
        evidence=evidence,
        advice="Look for the first step that differs: a wrong rule differs from step 1 or 2, a wrong schedule where "
        "the lr first moves."
        if off
        else "You may move a model between the two with the same hyperparameters; start it from the same weights and "
        "batches.",
        figure="training",
    )


def effective_lr(runs: list[TrainingRun]) -> Verdict:
    """Whether layers train with the lr that was set."""
    ratios = _by_rule(runs, lambda run, layer: _last(layer["q50"]) / _last(run["nominal_lr"]))
    as_set = [abs(ratio - 1) <= AS_SET for ratio in ratios.values()]
    outcome = graded(as_set)
    lowest, highest = min(ratios, key=lambda key: ratios[key]), max(ratios, key=lambda key: ratios[key])
    low, high = ratios[lowest], ratios[highest]
    return Verdict(
        id="effective-lr",
        question="Is the lr that I set the lr that my layers train with?",
        outcome=outcome,
        sentence={
            "holds": "Yes, in every layer and with every rule.",
            "depends": f"In {sum(as_set)} of {len(as_set)} cases. Elsewhere the median effective lr is up to {figure(high)} times as large.",
            "fails": f"No, in no layer: the median effective lr is {figure(low)} to {figure(high)} times the lr that is set.",
        }[outcome],
        evidence=f"Median effective over nominal lr at the last step, constant lr: smallest {figure(low)} "
        f"({_layer(lowest)}), largest {figure(high)} ({_layer(highest)}).",
        advice="Compare layers by their effective lr. Momentum 0.9 makes SGD's ten times the nominal lr; adaptive rules "
        "give the largest lr where gradients are smallest.",
        figure="heat-map",
    )


def hardly_learning(runs: list[TrainingRun]) -> Verdict:
    """Which layers' relative update is below the rule of thumb."""
    typical = _by_rule(runs, lambda run, layer: median(v for v in layer["relative_update"] if v is not None))
    slow = {key: value for key, value in typical.items() if value < GUIDE}
    outcome = graded(key not in slow for key in typical)
    lowest = min(typical, key=lambda key: typical[key])
    return Verdict(
        id="hardly-learning",
        question="Do all layers learn?",
        outcome=outcome,
        sentence={
            "holds": f"Yes: in a typical step every layer changes by more than {GUIDE:g} of its norm.",
            "depends": f"Most do. In a typical step these change by less than {GUIDE:g} of their norm: {_by_layer(slow)}.",
            "fails": f"Hardly: in a typical step no layer changes by more than {GUIDE:g} of its norm.",
        }[outcome],
        evidence=f"Median over the run of ‖Δθ‖/‖θ‖, constant lr: {len(slow)} of {len(typical)} are below {GUIDE:g}, a rule of "
        f"thumb; the lowest is {figure(typical[lowest])} ({_layer(lowest)}).",
        advice="Give a layer far below the rest a larger lr of its own. The scales of norm layers start at 1 and need to "
        "move little: a low figure is normal there.",
        figure="relative-update",
    )


def eps_dominated(runs: list[TrainingRun]) -> Verdict:
    """Whether eps decides how some coordinates train."""
    every = _by_rule(runs, lambda run, layer: _last(layer["eps_dominated"]))
    shares = {key: share for key, share in every.items() if key[0] in ("adam", "adamw", "rmsprop")}
    if not shares:
        raise ValueError("no run of a rule with eps")
    noticeable = {key: share for key, share in shares.items() if share >= NOTICEABLE}
    outcome = graded(key not in noticeable for key in shares)
    most = max(shares, key=lambda key: shares[key])
    largest = shares[most]
    return Verdict(
        id="eps-dominated",
        question="Is eps negligible?",
        outcome=outcome,
        sentence={
            "holds": "Yes: no layer has a noticeable share of coordinates whose √v̂ is below eps.",
            "depends": f"Not in {listed(name for _, name in noticeable)}: there eps is above √v̂ for up to "
            f"{percent(largest)} of the coordinates. Elsewhere, yes.",
            "fails": f"No: every layer has coordinates whose √v̂ is below eps, up to {percent(largest)} of them.",
        }[outcome],
        evidence=f"Share of coordinates with √v̂ below eps at the last step: at most {percent(largest)} "
        f"({_layer(most)}); {len(noticeable)} of {len(shares)} pairs of layer and rule are above {percent(NOTICEABLE)}.",
        advice="Coordinates that never have a gradient, such as the weights of pixels that never change, are counted here "
        "and do no harm. If others join them, lower eps: their effective lr is capped at lr/eps.",
        figure="effective-lr",
    )


def _by_rule(runs: list[TrainingRun], of: Callable[[TrainingRun, Layer], float]) -> dict[tuple[str, str], float]:
    """A figure of each layer under each rule, at a constant lr in float64."""
    chosen = [run for run in runs if run["schedule"] == "constant" and run["dtype"] == "float64"]
    if not chosen:
        raise ValueError("no run at a constant lr in float64")
    return {(run["rule"], layer["name"]): of(run, layer) for run in chosen for layer in run["layers"]}


def _by_layer(keys: Iterable[tuple[str, str]]) -> str:
    rules: dict[str, list[str]] = {}
    for rule, layer in keys:
        rules.setdefault(layer, []).append(spoken(rule))
    return listed(f"{layer} ({', '.join(of_layer)})" for layer, of_layer in rules.items())


def _layer(key: tuple[str, str]) -> str:
    return f"{key[1]}, {spoken(key[0])}"


def _last(curve: Curve) -> float:
    value = curve[-1]
    return float("nan") if value is None else value
