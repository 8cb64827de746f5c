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
from parity.report.data import BatchRun

from ..training import Problem, Setup, linear
from ..training.linear import sum_of_squares, torch_sum_of_squares
from ..training.torch_loop import begin, data, effective_lr, values

SIZES = (32, 128, 512)
SETUPS = {"sgd": Setup("sgd", rules.sgd(), {"lr": 1e-4}), "adam": Setup("adam", rules.adam(), {"lr": 1e-2})}
REDUCTIONS = {"sum": "sum of one backward() per example", "mean": "mean over the batch"}

Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """The first step of a rule and the gradient it was made from."""

    gradients: Gradients
    change: Gradients
    effective_lr: Gradients


@dataclass(frozen=True)
class BatchSize:
    """What the experiment found.

    Attributes
    ----------
    runs : one a framework, rule, reduction and size
    law_error : by framework
        Largest difference between the summed gradient and B times the mean one, over the largest coordinate.
    accumulation_error : by framework
        The same between the sum of B single gradients and the gradient of the summed loss.
    """

    runs: list[BatchRun]
    law_error: dict[str, float]
    accumulation_error: dict[str, float]


def measure(seed: int) -> BatchSize:
    """First steps in both frameworks, from the same parameters and the same rows."""
    problem = linear.linear_problem(max(SIZES), seed)
    runs: list[BatchRun] = []
    law, accumulation = {}, {}
    for framework, (step, summed_gradient) in FRAMEWORKS.items():
        found = {
            (rule, reduction, size): step(problem, setup, size, reduction)
            for rule, setup in SETUPS.items()
            for reduction in REDUCTIONS
            for size in SIZES
        }
        law[framework] = max(
            _difference(found["sgd", "sum", b].gradients, found["sgd", "mean", b].gradients, b) for b in SIZES
        )
        accumulation[framework] = max(
            _difference(found["sgd", "sum", b].gradients, summed_gradient(problem, b), 1) for b in SIZES
        )
        runs += [_run(framework, *key, found) for key in found]
    return BatchSize(runs, law, accumulation)


def _run(framework: str, rule: str, reduction: str, size: int, found: dict[tuple[str, str, int], Step]) -> BatchRun:
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


def _predicted(rule: str, reduction: str, size: int, found: dict[tuple[str, str, int], Step]) -> float | None:
    """Step over that of the smallest batch, from the mean gradients alone; nothing is exact about SGD's mean step."""
    first, here = (found[rule, "mean", b].gradients for b in (SIZES[0], size))
    factor = (lambda b: b) if reduction == "sum" else (lambda b: 1)
    if rule == "sgd":
        return size / SIZES[0] * _norm(here) / _norm(first) if reduction == "sum" else None
    eps = SETUPS[rule].rule.hyper().eps

    def bounded(gradients: Gradients, b: int) -> Gradients:
        return {name: g / (np.abs(g) + eps / factor(b)) for name, g in gradients.items()}

    return _norm(bounded(here, size)) / _norm(bounded(first, SIZES[0]))


def torch_step(problem: Problem, setup: Setup, size: int, reduction: str) -> Step:
    """One step in PyTorch; the sum by one ``backward()`` per example and no ``zero_grad()`` in between."""
    model = begin(problem)
    x, y = data(problem)
    optimizer = setup.torch_optimizer(model.parameters())
    before = values(model)
    if reduction == "sum":
        for i in range(size):
            problem.torch_loss(model(x[i : i + 1]), y[i : i + 1]).backward()
    else:
        problem.torch_loss(model(x[:size]), y[:size]).backward()
    optimizer.step()
    change = {name: after - before[name] for name, after in values(model).items()}
    return Step(_torch_gradients(model), change, effective_lr(optimizer, model))


def _torch_gradients(model: torch.nn.Module) -> Gradients:
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}


def torch_summed_gradient(problem: Problem, size: int) -> Gradients:
    """Gradient of the summed loss by a single ``backward()``."""
    model = begin(problem)
    x, y = data(problem)
    torch_sum_of_squares(model(x[:size]), y[:size]).backward()
    return _torch_gradients(model)


def jax_step(problem: Problem, setup: Setup, size: int, reduction: str) -> Step:
    """One step in JAX; the sum by adding the gradients of single examples one after the other."""
    with jax.enable_x64(True):
        params = {name: jnp.asarray(value) for name, value in problem.initial.items()}
        gradients = _jax_gradient(problem.jax_loss, accumulate=reduction == "sum")(
            params, problem.x[:size], problem.y[:size]
        )
        return Step(*jax.device_get(_jax_first_step(setup.rule, setup.rule.hyper(**setup.numbers), params, gradients)))


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


def jax_summed_gradient(problem: Problem, size: int) -> Gradients:
    """Gradient of the summed loss."""
    with jax.enable_x64(True):
        params = {name: jnp.asarray(value) for name, value in problem.initial.items()}
        return jax.device_get(
            _jax_gradient(sum_of_squares, accumulate=False)(params, problem.x[:size], problem.y[:size])
        )


FRAMEWORKS: dict[str, tuple[Callable[..., Step], Callable[..., Gradients]]] = {
    "jax": (jax_step, jax_summed_gradient),
    "torch": (torch_step, torch_summed_gradient),
}


def _norm(tree: Gradients) -> float:
    return float(np.sqrt(sum(np.sum(value**2) for value in tree.values())))


def _difference(a: Gradients, b: Gradients, times: float) -> float:
    """Largest difference between ``a`` and ``times·b`` over the largest coordinate of ``a``."""
    size = max(float(np.max(np.abs(value))) for value in a.values())
    return max(float(np.max(np.abs(a[name] - times * b[name]))) for name in a) / size
