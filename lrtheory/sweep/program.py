"""The compiled program: one tile of runs, ``vmap`` over the runs and ``scan`` over the steps."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from .. import effective
from ..groups import lrs, with_lrs
from .structure import Structure

PyTree = Any


class Tile(NamedTuple):
    """What a tile of ``width`` runs is given.

    Where runs share a seed, ``first`` and ``rows`` are there once, and a multiplication by the data becomes one large
    matrix product for all runs; otherwise they have an axis of runs in front.
    """

    numbers: dict[str, Any]  # of the rule, each (width,)
    loss_scale: Any  # (width,)
    first: PyTree  # first parameters
    rows: Any  # row numbers, (steps, batch_size), or None for the whole data


class Outcome(NamedTuple):
    """What a run leaves; with an axis of runs in front."""

    loss: Any
    """Loss, not scaled, that the gradient of each recorded step was taken of."""
    final_loss: Any
    """Loss after the last step, not scaled, on the last step's batch."""
    diverged_at: Any
    """First step, from 1, whose loss or parameters were not finite or whose loss exploded; 0 if there was none."""
    summaries: Any
    """``effective.measure`` at each recorded step, or ``None``."""
    evaluated: Any
    """What ``evaluate`` makes of the last parameters, or ``None``."""


@functools.lru_cache(maxsize=64)
def tile_program(structure: Structure, shared: bool, mesh: Mesh | None) -> Any:
    """The jitted function of a tile and the data, for any values of the numbers.

    With a mesh it takes one tile for every device, stacked, and each device computes its own: there is nothing to
    communicate.
    """
    over_tile = Tile(0, 0, None if shared else 0, None if shared else 0)  # type: ignore[arg-type]
    one_tile = jax.vmap(lambda tile, data: train(structure, tile, data), in_axes=(over_tile, None))
    if mesh is None:
        return jax.jit(one_tile)

    def local(tiles: Tile, data: PyTree) -> Outcome:
        outcome = one_tile(jax.tree.map(lambda x: x[0], tiles), data)
        return jax.tree.map(lambda x: x[None], outcome)

    runs = PartitionSpec(mesh.axis_names)
    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(runs, PartitionSpec()), out_specs=runs, check_vma=False))


def train(structure: Structure, run: Tile, data: PyTree) -> Outcome:
    """One run."""
    rule: Any = structure.rule
    recorded = np.zeros(structure.steps, bool)
    recorded[np.array(structure.record, int) - 1] = True
    # A step that is not recorded writes into the place of the next one that is, or behind the last.
    place = np.concatenate([[0], np.cumsum(recorded)[:-1]]).astype(np.int32)
    hyper = rule.hyper(**run.numbers)
    schedule = None if structure.schedule is None else jax.tree.map(structure.schedule, lrs(hyper))

    def batch_of(rows: Array | None) -> PyTree:
        return data if rows is None else jax.tree.map(lambda x: x[rows], data)

    def objective(params: PyTree, batch: PyTree) -> tuple[Array, Array]:
        loss = structure.loss(params, batch)
        return run.loss_scale.astype(loss.dtype) * loss, loss

    def stepped(params: PyTree, state: Any, t: Array, rows: Array | None) -> Any:
        now = hyper if schedule is None else with_lrs(hyper, jax.tree.map(lambda s: s(t), schedule, is_leaf=callable))
        (_, loss), grads = jax.value_and_grad(objective, has_aux=True)(params, batch_of(rows))
        after, state = rule.step(now, params, state, grads)
        return now, loss, grads, after, state

    def summary(before: PyTree, now: Any, grads: PyTree, after: PyTree, state: Any) -> Any:
        return effective.measure(rule, now, state, grads, before, after) if structure.summarise else None

    def summary_shape(params: PyTree, state: Any) -> Any:
        now, _, grads, after, state = stepped(params, state, jnp.int32(0), None if run.rows is None else run.rows[0])
        return summary(params, now, grads, after, state)

    def step(carry: Any, at: Any) -> Any:
        params, state, first_loss, diverged_at, kept = carry
        t, rows, where, record = at
        now, loss, grads, after, state = stepped(params, state, t, rows)
        first_loss = jnp.where(t == 0, jnp.abs(loss), first_loss)
        sound = jnp.isfinite(loss) & (loss <= structure.explode * first_loss)
        for leaf in jax.tree.leaves(after):
            sound &= _all_finite(leaf)
        diverged_at = jnp.where((diverged_at == 0) & ~sound, t + 1, diverged_at)
        losses, summaries = kept
        losses = lax.dynamic_update_index_in_dim(losses, loss, where, 0)
        if structure.summarise:
            summaries = lax.cond(
                record,
                lambda: jax.tree.map(
                    lambda into, x: lax.dynamic_update_index_in_dim(into, x, where, 0),
                    summaries,
                    summary(params, now, grads, after, state),
                ),
                lambda: summaries,
            )
        return (after, state, first_loss, diverged_at, (losses, summaries)), None

    state = rule.init(run.first)
    batch = batch_of(None if run.rows is None else run.rows[0])
    loss_shape = jax.eval_shape(structure.loss, run.first, batch)
    if loss_shape.shape != () or not jnp.issubdtype(loss_shape.dtype, jnp.floating):
        raise TypeError(f"loss gives {loss_shape.dtype} of shape {loss_shape.shape}; one real number is needed")
    places = len(structure.record) + 1
    kept = jax.tree.map(
        lambda leaf: jnp.zeros((places, *leaf.shape), leaf.dtype),
        (loss_shape, jax.eval_shape(summary_shape, run.first, state)),
    )
    carry = (run.first, state, jnp.zeros((), loss_shape.dtype), jnp.int32(0), kept)
    steps = (np.arange(structure.steps, dtype=np.int32), run.rows, place, recorded)
    (params, _, _, diverged_at, kept), _ = lax.scan(step, carry, steps)
    losses, summaries = jax.tree.map(lambda buffer: buffer[:-1], kept)
    last = batch_of(None if run.rows is None else run.rows[-1])
    evaluated = None if structure.evaluate is None else structure.evaluate(params)
    return Outcome(losses, structure.loss(params, last), diverged_at, summaries, evaluated)


def _all_finite(x: Array) -> Array:
    """Whether every entry is finite, by a product with zeros: in a sweep of small models XLA's reduction with "and" took a
    sixth of the time on CPU, and this takes none that can be measured.
    """
    return jnp.isfinite(jnp.vdot(jnp.zeros_like(x), x, precision=lax.Precision.HIGHEST))
