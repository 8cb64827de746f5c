"""lrtheory inside optax: a transformation whose state carries what its last measured step was. Needs the ``optax`` extra."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from .. import effective
from ..adopting import AdoptError
from ..adopting.in_optax import adopt_optax
from ..adopting.optax_row import named, traced
from ..effective import Summary
from ..numbers import check_counts
from ..rules import Rule, euclidean_norm
from ..watching.loggers import flat

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
    counted: tuple[Any, ...]
    """What optax does not keep and follows from the number of steps: a rule's sums of weights, by group."""


def watched(
    tx: optax.GradientTransformation, *, every: int = EVERY, sample: int = effective.SAMPLE
) -> optax.GradientTransformationExtraArgs:
    """The same transformation, with a summary of its last measured step in its state.

    The updates are the same, bit for bit, under ``jit``, ``scan`` and sharding, as far as XLA rounds a gradient alike whether
    or not it is looked at: on CPU one float32 ulp was seen in a loop of flax. The summary is
    ``optax.tree.get(state, "effective")``, or by name :func:`figures`. It is that of :func:`lrtheory.effective.measure` where
    the transformation is one of our rules with clipping before it, schedules, injected hyperparameters, masks and partitions;
    of other parameters what :func:`lrtheory.effective.realised` knows. Inside ``optax.MultiSteps`` the steps are counted
    that it makes of several gradients.

    Parameters
    ----------
    tx
        Any transformation.
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
    >>> updates, state = tx.update({"w": 0.5 * jnp.ones(3)}, state, params)
    >>> round(figures(state, params)["effective_lr/w"], 6)
    0.002
    """
    check_counts(every=every, sample=sample)
    inside = optax.with_extra_args_support(tx)
    known: dict[Any, _Read] = {}

    def reading(params: PyTree) -> _Read:
        leaves, structure = jax.tree.flatten(params)
        key = structure, tuple((jnp.shape(p), jnp.result_type(p)) for p in leaves)
        if key not in known:
            known[key] = _read(tx, params)
        return known[key]

    def init(params: PyTree) -> WatchedState:
        inner, read = inside.init(params), reading(params)
        counted = tuple(jax.tree.map(jnp.asarray, group.rule.array_rule.init(jnp.zeros(()))) for group in read.groups)
        blank = jax.eval_shape(lambda p, i, c: read.measured(p, p, p, i, c, sample), params, inner, counted)
        nothing = jax.tree.map(lambda figure: jnp.full(figure.shape, jnp.nan, figure.dtype), blank)
        return WatchedState(inner, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32), nothing, counted)

    def update(grads: PyTree, state: WatchedState, params: PyTree = None, **extra: Any) -> tuple[PyTree, WatchedState]:
        if params is None:
            raise ValueError("a watched transformation measures steps of parameters: tx.update(grads, state, params)")
        updates, inner = inside.update(grads, state.inner, params, **extra)
        due, read = state.calls % every == 0, reading(params)
        # What is looked at is made once more from what the update is made of: another reader of the updates themselves
        # would be one more place for them to be kept, and XLA on CPU rounds otherwise what it keeps.
        seen = lax.optimization_barrier((grads, params, state.inner))

        def look() -> Summary:
            grads, params, inner = seen
            again, _ = inside.update(grads, inner, params, **extra)
            return read.measured(grads, again, params, inner, state.counted, sample)

        measured = lax.cond(due, look, lambda: state.effective)
        counted = read.after(state.inner, params, state.counted)
        at = jnp.where(due, state.calls, state.measured)
        return updates, WatchedState(inner, jnp.asarray(optax.safe_increment(state.calls)), at, measured, counted)

    return optax.GradientTransformationExtraArgs(init, update)  # type: ignore


class _Group(NamedTuple):
    """Parameters of one rule."""

    names: tuple[str, ...]
    rule: Rule
    hyper: Any


class _Read(NamedTuple):
    """A transformation in our terms; what is in no group is none of our rules."""

    tx: Any
    groups: tuple[_Group, ...]
    around: tuple[Any, ...]

    def after(self, inner: Any, params: PyTree, counted: tuple[Any, ...]) -> tuple[Any, ...]:
        """Sums of weights after one more step: by the rule's own step of one coordinate at rest."""
        if not self.groups:
            return ()
        seen, zero = traced(self.tx, inner, params), jnp.zeros(())
        moved = []
        for group, before in zip(self.groups, counted, strict=True):
            hyper = _arrays(seen.hyper(group.hyper, group.names[0]))
            after = group.rule.array_rule.step(hyper, zero, before, jnp.ones(()))[1]
            moved.append(jax.tree.map(lambda new, old: new.astype(old.dtype), after, before))
        return tuple(moved)

    def measured(
        self, grads: PyTree, updates: PyTree, params: PyTree, inner: Any, counted: tuple[Any, ...], sample: int
    ) -> Summary:
        """Of a step that has been made, with the state before it."""
        after = optax.apply_updates(params, updates)
        found = effective.realised(jnp.nan, grads, params, after)
        by_name = dict(
            zip(named(params), jax.tree.leaves(found, is_leaf=lambda x: isinstance(x, Summary)), strict=True)
        )
        before, ended, given = named(params), named(after), named(grads)
        if self.groups:
            seen, clipped = traced(self.tx, inner, params), given
            for around in self.around:
                clipped = around.given(clipped)
            for group, weights in zip(self.groups, counted, strict=True):
                by_name |= self._group(group, weights, seen, given, clipped, before, ended, sample)
        leaves = list(by_name.values())
        return (
            jax.tree.map(lambda *figures: jnp.stack(figures), *leaves)
            if leaves
            else Summary(*[jnp.zeros(0)] * len(Summary._fields))
        )

    def _group(
        self, group: _Group, weights: Any, seen: Any, given: Any, clipped: Any, before: Any, ended: Any, sample: int
    ) -> dict[str, Summary]:
        hyper = seen.hyper(group.hyper, group.names[0])
        own = [{name: tree[name] for name in group.names} for tree in (before, ended, clipped)]
        columns = []
        slots = {name: seen.slots(group.rule, hyper, name) for name in group.names}
        for slot, weight in zip(weights._fields, weights, strict=True):
            array = group.rule.State._slots[slot].kind == "array"
            column = {n: slots[n].get(slot, jnp.zeros_like(own[0][n]) if array else weight) for n in group.names}
            columns.append(None if weight is None else column)
        _, stepped = group.rule.step(hyper, own[0], type(weights)(*columns), own[2])
        found = effective.measure(group.rule, hyper, stepped, own[2], own[0], own[1], exact=False, sample=sample)
        if not self.around:
            return found
        norms = {name: (euclidean_norm(clipped[name]), euclidean_norm(given[name])) for name in group.names}
        return {
            name: found[name]._replace(clip_factor=jnp.where(norm == 0, 1, kept / norm).astype(found[name].mean.dtype))
            for name, (kept, norm) in norms.items()
        }


def _read(tx: Any, params: PyTree) -> _Read:
    """The transformation in our terms, from its functions and the numbers that a fresh state has; no array is made."""
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(jnp.shape(p), jnp.result_type(p)), params)

    def scalars() -> list[Array]:
        state = tx.init(jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), shapes))
        return [x for x in jax.tree.leaves(state) if jnp.ndim(x) == 0]

    hollow = lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape)  # noqa: E731
    with jax.ensure_compile_time_eval():  # also while an update is being traced
        numbers = iter(jax.device_get(jax.jit(scalars)()))
        state = jax.tree.map(lambda x: hollow(x) if x.ndim else next(numbers), jax.eval_shape(tx.init, shapes))
        nothing = jax.tree.map(hollow, shapes)
        found = adopt_optax(tx, state, nothing, arrays=False, check=False)
        ours = [_Group(g.names, g.rule, g.hyper) for g in found.groups if g.rule is not None]
        if not ours or any(around.name == "accumulate" for around in found.around):
            return _Read(tx, (), ())  # a step is made of several updates
        seen, like = traced(tx, state, nothing), named(nothing)
        return _Read(tx, tuple(group for group in ours if _complete(group, seen, like)), found.around)


def _complete(group: _Group, seen: Any, like: dict[str, Any]) -> bool:
    """Whether all is known that a step depends on: optax keeps it, or it follows from the number of steps."""
    try:
        for name in group.names:
            start = jax.eval_shape(group.rule.array_rule.init, like[name])
            missing = {s for s, v in start._asdict().items() if v is not None} - set(
                seen.slots(group.rule, group.hyper, name)
            )
            if not all(_follows(group, slot) for slot in missing):
                return False
    except AdoptError:
        return False
    return True


def _arrays(hyper: Any) -> Any:
    return type(hyper)(*(None if value is None else jnp.asarray(value, jnp.zeros(()).dtype) for value in hyper))


def _follows(group: _Group, slot: str) -> bool:
    declared = group.rule.State._slots[slot]
    if declared.kind == "count" or (declared.kind == "scalar" and declared.units == "1"):
        return True
    if slot == "buffer" and not getattr(group.hyper, "momentum", 1):
        return True
    rule, one = group.rule.array_rule, jnp.ones(())
    after = rule.step(_arrays(group.hyper), one, rule.init(one)._replace(**{slot: jnp.nan}), one)[1]
    return bool(jnp.isfinite(getattr(after, slot)))  # made anew in every step


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
    names = [name.removesuffix(".value") for name in names]
    values = [jax.device_get(jax.tree.leaves(figure)[0]) for figure in found]  # flax puts each array into a variable
    return {name or "params": Summary(*(value[i] for value in values)) for i, name in enumerate(names)}


def figures(state: Any, params: PyTree) -> dict[str, float]:
    """The last measured step as loggers take it: figures by ``figure/parameter``."""
    return {
        name: value for p, found in summaries(state, params).items() for name, value in flat(p, found._asdict()).items()
    }
