"""Closed-loop training in JAX: one compiled scan for all numbers, schedules and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array, lax

from lrtheory.compiling import quickly_compiled
from lrtheory.rules import Rule

from .problem import Problem
from .setup import Setup
from .trained import Trained

Observer = Callable[..., Any]


def observe_nothing(rule: Rule, hyper: Any, state: Any, grads: Any, before: Any, after: Any) -> None:
    """Record the parameters alone."""


def observe_effective_lr(rule: Rule, hyper: Any, state: Any, grads: Any, before: Any, after: Any) -> Any:
    """Effective lr of every coordinate."""
    return rule.effective_lr(hyper, state)


@quickly_compiled(static_argnames=("loss", "rule", "observe"))
def _scan(
    loss: Callable[..., Array],
    rule: Rule,
    observe: Observer,
    params: Any,
    hypers: Any,
    scale: Any,
    x: Array,
    y: Array,
    batches: Array,
    recorded: Array,
) -> Any:
    def step(carry: Any, now: Any) -> Any:
        before, state = carry
        hyper, rows, record = now
        value, grads = jax.value_and_grad(lambda p: scale * loss(p, x[rows], y[rows]))(before)
        after, state = rule.step(hyper, before, state, grads)

        def look() -> Any:
            return observe(rule, hyper, state, grads, before, after)

        def look_away() -> Any:
            return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(look))

        return (after, state), (value, after, lax.cond(record, look, look_away))

    return lax.scan(step, (params, rule.init(params)), (hypers, batches, recorded))[1]


def train_jax(
    problem: Problem,
    setup: Setup,
    batches: np.ndarray,  # row numbers of shape (steps, batch size)
    *,
    dtype: str = "float64",
    loss_scale: float = 1.0,  # what the loss is multiplied by before it is differentiated
    observe: Observer = observe_nothing,  # what to make of a recorded step, inside the compiled loop
    recorded: npt.ArrayLike | None = None,  # steps to observe, from 1; all of them by default
) -> Trained:
    """Train with an lrtheory rule and schedule on JAX's gradients."""
    steps = len(batches)
    wanted = np.arange(1, steps + 1) if recorded is None else np.asarray(recorded, int)
    with jax.enable_x64(dtype == "float64"):
        first = {name: jnp.asarray(value, dtype) for name, value in problem.initial.items()}
        y = problem.y.astype(dtype) if np.issubdtype(problem.y.dtype, np.floating) else problem.y
        hypers = setup.hypers(steps)
        loss, params, seen = jax.device_get(
            _scan(
                problem.jax_loss,
                setup.rule,
                observe,
                first,
                hypers,
                float(loss_scale),
                problem.x.astype(dtype),
                y,
                batches,
                np.isin(np.arange(1, steps + 1), wanted),
            )
        )
        lr = np.asarray(hypers.lr)
    begun = {name: np.concatenate([np.asarray(first[name])[None], values]) for name, values in params.items()}
    return Trained(loss, lr, begun, jax.tree.map(lambda values: values[wanted - 1], seen))
