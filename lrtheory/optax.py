"""lrtheory inside optax: a transformation whose state carries what its last measured step was. Needs the ``optax`` extra."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from . import effective
from .effective import Summary
from .watching.logged import flat

PyTree = Any

EVERY = 100


class WatchedState(NamedTuple):
    """State of a watched transformation."""

    inner: Any
    """That of the transformation inside."""
    calls: Array
    """How many updates there have been."""
    measured: Array
    """At which of them, from 0, ``effective`` was measured last; -1 before the first."""
    effective: Summary
    """Of all parameters, in the order of ``jax.tree.leaves(params)``: every field has one entry for each."""


def watched(
    tx: optax.GradientTransformation, *, every: int = EVERY, sample: int = effective.SAMPLE
) -> optax.GradientTransformationExtraArgs:
    """The same transformation, with a summary of its last measured step in its state.

    The updates are the same, bit for bit, under ``jit``, ``scan`` and sharding. The summary is
    ``optax.tree.get(state, "effective")``, or by name :func:`figures`. Inside ``optax.MultiSteps`` the steps are counted that
    it makes of several gradients.

    Parameters
    ----------
    tx
        Any transformation, of which :func:`lrtheory.effective.realised` is known: relative update, rotation, step over gradient.
    every : int
        Measure the first update, and every so many from there on.
    sample : int
        Coordinates of a parameter that are looked at; of a parameter with no more, all.

    Raises
    ------
    ValueError
        For ``every`` or ``sample`` below 1, and at an update without ``params``.

    Examples
    --------
    >>> tx = watched(optax.adam(1e-3), every=2)
    >>> params = {"w": jnp.ones(3)}
    >>> state = tx.init(params)
    >>> updates, state = tx.update({"w": jnp.ones(3)}, state, params)
    >>> round(figures(state, params)["relative_update/w"], 6)
    0.001
    """
    for name, value in (("every", every), ("sample", sample)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number, 1 or more")
    inside = optax.with_extra_args_support(tx)

    def init(params: PyTree) -> WatchedState:
        state = inside.init(params)
        blank = jax.eval_shape(_measured, params, params, params, state)
        nothing = jax.tree.map(lambda figure: jnp.full(figure.shape, jnp.nan, figure.dtype), blank)
        return WatchedState(state, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32), nothing)

    def update(grads: PyTree, state: WatchedState, params: PyTree = None, **extra: Any) -> tuple[PyTree, WatchedState]:
        if params is None:
            raise ValueError("a watched transformation measures steps of parameters: tx.update(grads, state, params)")
        updates, inner = inside.update(grads, state.inner, params, **extra)
        seen = lax.optimization_barrier((grads, updates, params, inner))
        due = state.calls % every == 0
        measured = lax.cond(due, lambda: _measured(*seen), lambda: state.effective)
        at = jnp.where(due, state.calls, state.measured)
        return updates, WatchedState(inner, optax.safe_increment(state.calls), at, measured)

    def _measured(grads: PyTree, updates: PyTree, params: PyTree, inner: Any) -> Summary:
        grads = jax.tree.map(lambda p, g: g, params, grads)  # a gradient may have more structure, such as a zero's
        found = effective.realised(jnp.nan, grads, params, optax.apply_updates(params, updates))
        leaves = jax.tree.leaves(found, is_leaf=lambda x: isinstance(x, Summary))
        return jax.tree.map(lambda *figures: jnp.stack(figures), *leaves) if leaves else Summary(*[jnp.zeros(0)] * 21)

    return optax.GradientTransformationExtraArgs(init, update)


def summaries(state: Any, params: PyTree) -> dict[str, Summary]:
    """The last measured step in a state that has a watched transformation in it, parameter by parameter.

    Parameters
    ----------
    state
        Of an optimizer that has a :func:`watched` transformation anywhere in it.
    params
        Gives names: the paths to its arrays, parts joined by a dot.

    Raises
    ------
    KeyError
        For a state without one.
    """
    found = optax.tree.get(state, "effective")
    if found is None:
        raise KeyError("the state has no summary: make the optimizer with lrtheory.optax.watched(tx)")
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(params)]
    values = jax.device_get(found)
    return {name or "params": jax.tree.map(lambda x, i=i: x[i], values) for i, name in enumerate(names)}


def figures(state: Any, params: PyTree) -> dict[str, float]:
    """The last measured step as loggers take it: figures by ``figure/parameter``."""
    return {
        name: value for p, found in summaries(state, params).items() for name, value in flat(p, found._asdict()).items()
    }
