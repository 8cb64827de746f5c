"""Two optimizers on the digits, whose updates were matched in size: how large they are, and what becomes of the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lrtheory.rules import Rule

from ..training import PLAIN, Problem, Setup, Trained, load_digits, train_jax

STEPS, BATCH, LAST = 200, 64, 20


class MatchedRun(NamedTuple):
    """One optimizer on the weight matrices of a small network.

    ``update_rms`` is the median over the run of an update's root mean square, weight decay included, ``gradient_rms`` that of the
    gradient's; ``loss`` is the mean of the last steps.
    """

    rule: str
    lr: float
    weight_decay: float
    gradient_rms: float
    update_rms: float
    first_loss: float
    loss: float


@dataclass(frozen=True)
class _Matrices:
    """The loss as a function of the weight matrices, all else as it began."""

    fixed: tuple[tuple[str, tuple[float, ...]], ...]

    def __call__(self, params: Any, x: Any, y: Any) -> Any:
        """Mean cross-entropy."""
        return PLAIN.loss({name: jnp.asarray(value) for name, value in self.fixed} | params, x, y)


def matched_run(rule: Rule, hyper: Any, seed: int = 0) -> MatchedRun:
    """Train with a rule; biases stay as they began, since some rules take matrices alone."""
    problem = _problem(seed)
    numbers = {name: float(value) for name, value in hyper._asdict().items() if value is not None}
    run = train_jax(
        problem,
        Setup(repr(rule), rule, numbers),
        problem.shuffled(BATCH, STEPS, seed),
        dtype="float32",
        observe=_gradient,
    )
    return MatchedRun(
        repr(rule), numbers["lr"], numbers.get("weight_decay", 0.0), float(np.median(run.seen)), _size(run),
        float(run.loss[0]), float(np.mean(run.loss[-LAST:])),
    )  # fmt: skip


def _problem(seed: int) -> Problem:
    problem = PLAIN.on(load_digits(seed), seed)
    matrices = {name: value for name, value in problem.initial.items() if value.ndim == 2}
    fixed = tuple((name, tuple(map(float, v))) for name, v in problem.initial.items() if v.ndim == 1)
    return replace(problem, initial=matrices, jax_loss=_Matrices(fixed))


def _gradient(rule: Rule, hyper: Any, state: Any, grads: Any, before: Any, after: Any) -> Any:
    squares, count = sum(jnp.sum(g**2) for g in grads.values()), sum(g.size for g in grads.values())
    return jnp.sqrt(squares / count)


def _size(run: Trained) -> float:
    count = sum(values[0].size for values in run.params.values())
    return float(np.median(run.step_norm) / np.sqrt(count))
