"""Runs of the real rules in float64 that laws are held to: on given gradients, or on the gradient of a loss.

The program of a rule is compiled once a shape; every number, also one that moves from step to step, is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..compiling import quickly_compiled
from ..rules import Rule, SparseGradient
from ..wrappers import Wrapper


class Run(NamedTuple):
    """A run of T steps on one array, as numpy arrays.

    Attributes
    ----------
    params : array of shape (T + 1, *shape)
        Before the first step and after each.
    effective_lr, grads : arrays of shape (T, *shape)
    states : the rule's state after each step, a leading axis of T on every leaf
    """

    params: np.ndarray
    effective_lr: np.ndarray
    grads: np.ndarray
    states: Any

    @property
    def steps(self) -> np.ndarray:
        """What each step removed: θ before it minus θ after it, decay included."""
        return self.params[:-1] - self.params[1:]


# Runs are filled up to a few lengths, those on given gradients with zeros, so that few programs are compiled.
_FEW, _MANY = 32, 256


@quickly_compiled(static_argnums=0)
def _replay(rule: Rule, hypers: Any, state: Any, params: Any, grads: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        params, state = carry
        hyper, g = now
        given = SparseGradient.from_dense(g) if rule.array_rule.sparse else g
        params, state = rule.step(hyper, params, state, given)
        return (params, state), (params, rule.effective_lr(hyper, state), g, state)

    return lax.scan(step, (params, state), (hypers, grads))[1]


@quickly_compiled(static_argnums=(0, 1))
def _descend(rule: Any, loss: Callable[..., Any], hypers: Any, state: Any, params: Any, data: Any) -> Any:
    def step(carry: Any, hyper: Any) -> Any:
        params, state = carry
        g = jax.grad(loss)(params, data)
        params, state = rule.step(hyper, params, state, g)
        return (params, state), (params, rule.effective_lr(hyper, state), g, state)

    return lax.scan(step, (params, state), hypers)[1]


def replay(rule: Rule, hyper: Any, grads: Any, params: Any = None, state: Any = None) -> Run:
    """Feed a rule given gradients.

    Parameters
    ----------
    hyper : from ``rule.hyper``; a number may be an array of shape (T,), its value at each step
    grads : array of shape (T, *shape)
    params : array of shape ``shape``, zero by default
        From zero, where nothing rounds a step off, steps are seen as they are.
    state : state to go on from; the initial one by default
    """
    grads = np.asarray(grads, float)
    steps = len(grads)
    length = _FEW if steps <= _FEW else _MANY if steps <= _MANY else steps
    grads = np.concatenate([grads, np.zeros((length - steps, *grads.shape[1:]))])
    with jax.enable_x64(True):
        params = jnp.zeros(grads.shape[1:]) if params is None else jnp.asarray(params, float)
        state = rule.init(params) if state is None else state
        found = _replay(rule, _every_step(hyper, steps, length), state, params, jnp.asarray(grads))
        return _as_run(params, jax.tree.map(lambda x: x[:steps], jax.device_get(found)))


def descend(
    rule: Rule | Wrapper,
    hyper: Any,
    loss: Callable[..., Any],
    params: Any,
    steps: int,
    data: Any = None,
    state: Any = None,
) -> Run:
    """Let a rule descend ``loss(params, data)``; a loss is compiled once a length, so give the same function again."""
    length = max(steps, _FEW)
    with jax.enable_x64(True):
        params = jnp.asarray(params, float)
        state = rule.init(params) if state is None else state
        data = jax.tree.map(lambda x: jnp.asarray(x, float), data)
        found = _descend(rule, loss, _every_step(hyper, steps, length), state, params, data)
        return _as_run(params, jax.tree.map(lambda x: x[:steps], jax.device_get(found)))


def quadratic(w: Any, curvature: Any) -> Any:
    """A loss: half the curvature times the square; curvature may carry a loss scale."""
    return jnp.sum(curvature * w * w) / 2


def _every_step(hyper: Any, steps: int, length: int) -> Any:
    def spread(x: Any) -> Any:
        values = np.broadcast_to(np.asarray(x, float), (steps,))
        return jnp.asarray(np.concatenate([values, np.full(length - steps, values[-1])]))

    return jax.tree.map(spread, hyper)


def _as_run(first: Any, found: Any) -> Run:
    params, effective, grads, states = found
    return Run(np.concatenate([np.asarray(first)[None], params]), effective, grads, states)
