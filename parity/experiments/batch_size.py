"""Experiment (d): the first step from batches of 32, 128 and 512, gradients summed or averaged over the batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array, lax

from lrtheory import effective, rules
from lrtheory.rules import Rule
from lrtheory.words import figure, listed, spoken

from ..measured import BatchRun, Verdict, graded
from ..training import Problem, Setup, linear
from ..training.linear import sum_of_squares, torch_sum_of_squares
from ..training.torch_loop import begin, data, effective_lr, values

SIZES = (32, 128, 512)
SETUPS = {"sgd": Setup("sgd", rules.sgd(), {"lr": 1e-4}), "adam": Setup("adam", rules.adam(), {"lr": 1e-2})}
REDUCTIONS = {"sum": "sum of one backward() per example", "mean": "mean over the batch"}
AT_ONCE = "the summed loss at once"
"""The reduction that a sum of single gradients is compared with."""

Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class FirstStep:
    """The first step of a rule and the gradient it was made from."""

    gradients: Gradients
    change: Gradients
    effective_lr: Gradients


@dataclass(frozen=True)
class BatchSize:
    """What the experiment found."""

    runs: list[BatchRun]  # one a framework, rule, reduction and size
    # by framework: the largest difference between the summed gradient and B times the mean one, over the largest coordinate
    law_error: dict[str, float]
    # by framework: the same between the sum of B single gradients and the gradient of the summed loss
    accumulation_error: dict[str, float]


def measure(seed: int) -> BatchSize:
    """First steps in both frameworks, from the same parameters and the same rows."""
    problem = linear.linear_problem(max(SIZES), seed)
    runs: list[BatchRun] = []
    law, accumulation = {}, {}
    for framework, step in FRAMEWORKS.items():
        found = {
            (rule, reduction, size): step(problem, setup, size, reduction)
            for rule, setup in SETUPS.items()
            for reduction in REDUCTIONS
            for size in SIZES
        }
        summed = {b: found["sgd", "sum", b].gradients for b in SIZES}
        law[framework] = max(_difference(summed[b], found["sgd", "mean", b].gradients, b) for b in SIZES)
        accumulation[framework] = max(
            _difference(summed[b], step(problem, SETUPS["sgd"], b, AT_ONCE).gradients, 1) for b in SIZES
        )
        runs += [_run(framework, *key, found) for key in found]
    return BatchSize(runs, law, accumulation)


def _run(
    framework: str, rule: str, reduction: str, size: int, found: dict[tuple[str, str, int], FirstStep]
) -> BatchRun:
    here = found[rule, reduction, size]
    smallest = found[rule, reduction, SIZES[0]]
    median = float(np.median(np.concatenate([e.ravel() for e in here.effective_lr.values()])))
    return BatchRun(
        framework=framework,
        reduction=REDUCTIONS[reduction] + ("" if rule == "sgd" else f", {rule.capitalize()}"),
        batch=size,
        gradient_norm=_norm(here.gradients),
        step_norm=_norm(here.change),
        step_ratio=_norm(here.change) / _norm(smallest.change),
        predicted_ratio=_predicted(rule, reduction, size, found),
        per_example_lr=float(effective.per_example(median, size, reduction)),
    )


def _predicted(rule: str, reduction: str, size: int, found: dict[tuple[str, str, int], FirstStep]) -> float | None:
    """The step over that of the smallest batch, from the mean gradients alone; nothing is exact about SGD's mean step."""
    first, here = (found[rule, "mean", b].gradients for b in (SIZES[0], size))
    factor = (lambda b: b) if reduction == "sum" else (lambda b: 1)
    if rule == "sgd":
        return size / SIZES[0] * _norm(here) / _norm(first) if reduction == "sum" else None
    eps = SETUPS[rule].rule.hyper().eps

    def bounded(gradients: Gradients, b: int) -> Gradients:
        return {name: g / (np.abs(g) + eps / factor(b)) for name, g in gradients.items()}

    return _norm(bounded(here, size)) / _norm(bounded(first, SIZES[0]))


def torch_step(problem: Problem, setup: Setup, size: int, reduction: str) -> FirstStep:
    """One step in PyTorch; the sum by one ``backward()`` per example and no ``zero_grad()`` in between."""
    model = begin(problem)
    x, y = data(problem)
    optimizer = setup.torch_optimizer(model.parameters())
    before = values(model)
    loss = torch_sum_of_squares if reduction == AT_ONCE else problem.torch_loss
    for rows in torch.arange(size).split(1 if reduction == "sum" else size):
        loss(model(x[rows]), y[rows]).backward()
    optimizer.step()
    gradients = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    change = {name: after - before[name] for name, after in values(model).items()}
    return FirstStep(gradients, change, effective_lr(optimizer, model))


def jax_step(problem: Problem, setup: Setup, size: int, reduction: str) -> FirstStep:
    """One step in JAX; the sum by adding the gradients of single examples one after the other."""
    loss = sum_of_squares if reduction == AT_ONCE else problem.jax_loss
    with jax.enable_x64(True):
        params = {name: jnp.asarray(value) for name, value in problem.initial.items()}
        gradients = _jax_gradient(loss, accumulate=reduction == "sum")(params, problem.x[:size], problem.y[:size])
        return FirstStep(*jax.device_get(_jax_first_step(setup.rule, setup.hyper, params, gradients)))


@functools.cache
def _jax_gradient(loss: Callable[..., Array], accumulate: bool) -> Callable[..., Any]:
    def all_at_once(params: Any, x: Array, y: Array) -> Any:
        return jax.grad(loss)(params, x, y)

    def one_after_the_other(params: Any, x: Array, y: Array) -> Any:
        def add(total: Any, example: tuple[Array, Array]) -> tuple[Any, None]:
            x_i, y_i = example
            return jax.tree.map(jnp.add, total, all_at_once(params, x_i[None], y_i[None])), None

        return lax.scan(add, jax.tree.map(jnp.zeros_like, params), (x, y))[0]

    return jax.jit(one_after_the_other if accumulate else all_at_once)


@functools.partial(jax.jit, static_argnames="rule")
def _jax_first_step(rule: Rule, hyper: Any, params: Any, gradients: Any) -> tuple[Any, Any, Any]:
    after, state = rule.step(hyper, params, rule.init(params), gradients)
    return gradients, jax.tree.map(jnp.subtract, after, params), rule.effective_lr(hyper, state)


FRAMEWORKS: dict[str, Callable[..., FirstStep]] = {"jax": jax_step, "torch": torch_step}


def _norm(tree: Gradients) -> float:
    return float(np.sqrt(sum(np.sum(value**2) for value in tree.values())))


def _difference(a: Gradients, b: Gradients, times: float) -> float:
    """Largest difference between ``a`` and ``times·b`` over the largest coordinate of ``a``."""
    size = max(float(np.max(np.abs(value))) for value in a.values())
    return max(float(np.max(np.abs(a[name] - times * b[name]))) for name in a) / size


ROUNDING = 1e-12
"""Of the largest coordinate: what adding 512 float64 gradients in another order may cost, with a wide margin."""

GROWS = 2.0
"""A step that is this many times as large from a batch 16 times as large is said to grow: between ×1 and ×16."""


def accumulation(found: BatchSize) -> Verdict:
    """Whether repeated ``backward()`` calls add up to B times the mean gradient."""
    if not found.law_error or not found.accumulation_error:
        raise ValueError("no gradients were compared")
    worst = float(np.max([*found.law_error.values(), *found.accumulation_error.values()]))  # nan stays nan
    adds = worst <= ROUNDING
    return Verdict(
        id="batch-accumulation",
        question="Do B calls of backward() before one step add the gradients up?",
        outcome="holds" if adds else "fails",
        sentence="Yes. They leave the gradient of the summed loss, which is B times that of the mean."
        if adds
        else "No. What they leave is neither the gradient of the summed loss nor B times that of the mean.",
        evidence=f"Largest difference {figure(worst)} of the largest coordinate, over batches of up to "
        f"{max(run['batch'] for run in found.runs)} in {listed(map(spoken, found.law_error))}; "
        f"at most {ROUNDING:g} is rounding.",
        advice="When you accumulate gradients, divide each loss by the number of examples (or of micro-batches if they "
        "are equally large), or divide SGD's lr by it.",
        figure="batch",
    )


def sgd_step(found: BatchSize) -> Verdict:
    """Whether SGD's step grows with the batch, summed and averaged."""
    summed, averaged = (_largest(found.runs, REDUCTIONS[reduction]) for reduction in ("sum", "mean"))
    off = [
        abs(run["step_ratio"] / run["predicted_ratio"] - 1)
        for run in found.runs
        if run["reduction"] == REDUCTIONS["sum"] and run["predicted_ratio"]
    ]
    grow = [run["step_ratio"] > GROWS for run in (summed, averaged)]
    outcome = graded(grow)
    return Verdict(
        id="batch-step-sgd",
        question="Does a larger batch make SGD's step larger?",
        outcome=outcome,
        sentence={
            "holds": "Yes, whether gradients are summed or averaged.",
            "depends": "It depends: gradients that are summed make it grow, averaged ones do not."
            if grow[0]
            else "It depends: gradients that are averaged make it grow, summed ones do not.",
            "fails": "No, whether gradients are summed or averaged.",
        }[outcome],
        evidence=f"From {_smallest(found.runs)} to {summed['batch']} examples the step becomes "
        f"{summed['step_ratio']:.3g} times as long when summed (as B times the mean gradient predicts, within "
        f"{figure(max(off))}), and {averaged['step_ratio']:.3g} times when averaged; the mean gradient itself changes "
        "with the sample.",
        advice="Average over the batch, or divide lr by the batch size when you sum. With the mean, one example's share "
        "of the step falls as 1/B.",
        figure="batch",
    )


def adam_step(found: BatchSize) -> Verdict:
    """Whether Adam's step grows with the batch."""
    ratios = [run["step_ratio"] for run in found.runs if run["reduction"].endswith(", Adam")]
    grows = max(ratios) > GROWS
    return Verdict(
        id="batch-step-adam",
        question="Does a larger batch make Adam's step larger?",
        outcome="holds" if grows else "fails",
        sentence="Yes, as with SGD."
        if grows
        else "No. Adam's first step has the same length from every batch size, summed or averaged.",
        evidence=f"The step is {min(ratios):.9g} to {max(ratios):.9g} times that from {_smallest(found.runs)} examples, "
        "summed and averaged, in both frameworks.",
        advice="Adam needs no division by the batch size. A larger batch gives it a less noisy direction: the usual "
        "scaling is lr·√κ for κ times the batch.",
        figure="batch",
    )


def _largest(runs: list[BatchRun], reduction: str) -> BatchRun:
    return max((run for run in runs if run["reduction"] == reduction), key=lambda run: run["batch"])


def _smallest(runs: list[BatchRun]) -> int:
    return min(run["batch"] for run in runs)
