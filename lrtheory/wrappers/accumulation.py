"""Gradient accumulation: one step for several micro-batches."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Number
from ..rules import Rule, compute_dtype
from ._wrapper import PyTree, Wrapper


class AccumulatedState(NamedTuple):
    """State of an accumulating rule.

    ``mean`` is the mean gradient of the ``count`` micro-batches of this step so far, over ``examples`` examples; it is
    kept until the next micro-batch starts a new step.
    """

    rule: Any
    mean: Any
    count: Any
    examples: Any


@dataclass(frozen=True, eq=False, repr=False)
class Accumulated(Wrapper):
    """A rule that takes a step after every ``every`` micro-batches, with the mean over their examples."""

    every: int

    def init(self, params: PyTree) -> AccumulatedState:
        """State before the first micro-batch."""
        mean = jax.tree.map(lambda p: jnp.zeros(jnp.shape(p), compute_dtype(jnp.asarray(p))), params)
        return AccumulatedState(self.rule.init(params), mean, jnp.int32(0), jnp.zeros(()))

    def step(
        self, hyper: Any, params: PyTree, state: AccumulatedState, grads: PyTree
    ) -> tuple[PyTree, AccumulatedState]:
        """One micro-batch; parameters move with the last of a step.

        ``None`` in place of a gradient is a gradient of zero here, since the step is taken over several calls.
        """
        inner, state = self.inner(hyper), self.own(state)
        structure, found = self.leaves(params, grads)
        starts = (state.count == 0) | (state.count == self.every)
        count = jnp.where(starts, 1, state.count + 1)
        given = jnp.asarray(hyper.examples, state.examples.dtype)
        examples = jnp.where(starts, 0, state.examples) + given
        share = jnp.where(examples > 0, given / jnp.where(examples > 0, examples, 1), 0)  # 0/0 before any example

        def averaged(before: Array, g: Any) -> Array:
            before = jnp.where(starts, 0, before)
            g = jnp.zeros_like(before) if g is None else jnp.asarray(g).astype(before.dtype)
            return before + share.astype(before.dtype) * (g - before)

        mean = structure.unflatten(
            [averaged(m, g) for m, g in zip(structure.flatten_up_to(state.mean), found, strict=True)]
        )
        applies = count == self.every
        chosen = self._chosen(applies, self.rule.step(inner, params, state.rule, mean), (params, state.rule))
        return chosen[0], AccumulatedState(chosen[1], mean, count, examples)

    def moved(self, state: AccumulatedState) -> Any:
        """Whether the micro-batch was the last of a step, and the rule inside moved with it."""
        own = self.own(state).count == self.every
        return own & super().moved(state)

    def effective_lr(self, hyper: Any, state: AccumulatedState) -> PyTree:
        """E of the step for the mean gradient; 0 after a micro-batch that took no step."""
        effective = self.rule.effective_lr(self.inner(hyper), self.own(state).rule)
        return self._chosen(state.count == self.every, effective, jax.tree.map(jnp.zeros_like, effective))

    def direction(self, hyper: Any, params: PyTree, state: AccumulatedState, grads: PyTree) -> PyTree:
        """That of the rule for the mean gradient; the mean gradient so far where no step was taken."""
        direction = self.rule.direction(self.inner(hyper), params, self.own(state).rule, state.mean)
        return self._chosen(state.count == self.every, direction, state.mean)

    def decay(self, hyper: Any, params: PyTree, state: AccumulatedState, grads: PyTree) -> PyTree:
        """Decoupled weight decay of the step, 0 where none was taken."""
        decay = self.rule.decay(self.inner(hyper), params, self.own(state).rule, state.mean)
        return self._chosen(state.count == self.every, decay, jax.tree.map(jnp.zeros_like, decay))

    def clip_factor(self, hyper: Any, params: PyTree, state: AccumulatedState, grads: PyTree) -> PyTree | None:
        """That of the mean gradient so far."""
        return super().clip_factor(hyper, params, state, state.mean)

    @staticmethod
    def _chosen(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
        return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def accumulate(rule: Rule | Wrapper, *, every: int) -> Accumulated:
    r"""One step after ``every`` micro-batches, with gradients weighted by their examples.

    .. math:: g = \sum_i (n_i/N) g_i \qquad N = \sum_i n_i

    Adds the number ``examples`` : scalar in [0, inf), 1, the n of this micro-batch: 1 unless given, for micro-batches
    of equal size. ``g_i`` is the mean over the examples of its micro-batch.

    Parameters
    ----------
    rule : Rule or Wrapper
    every : option
        Micro-batches a step.

    Notes
    -----
    torch has no such wrapper: backward() adds gradients up, so that dividing each loss by ``every`` gives the same for
    micro-batches of equal size only.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = accumulate(rules.sgd(), every=2)
    >>> params = {"w": jnp.array([1.0])}
    >>> state = rule.init(params)
    >>> params, state = rule.step(rule.hyper(lr=1.0, examples=3), params, state, {"w": jnp.array([1.0])})
    >>> params, state = rule.step(rule.hyper(lr=1.0, examples=1), params, state, {"w": jnp.array([5.0])})
    >>> params["w"].tolist()
    [-1.0]
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"accumulate: every={every!r} must be a whole number of micro-batches, 1 or more")
    return _accumulate(rule, every)


@functools.cache
def _accumulate(rule: Rule | Wrapper, every: int) -> Accumulated:
    numbers = {"examples": Number(1.0, NONNEGATIVE, "1")}
    return Accumulated(rule, "accumulate", numbers, AccumulatedState, {"every": every}, every)
