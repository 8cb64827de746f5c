"""An exponential average of the weights beside the run."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import FRACTION, Number
from ..rules import Rule, compute_dtype, following, lerp
from ._wrapper import PyTree, Wrapper


class AveragedState(NamedTuple):
    """State of an averaging rule: the rule's own, the average of its parameters, and how many entered."""

    rule: Any
    average: Any
    count: Any


@dataclass(frozen=True, eq=False, repr=False)
class Averaged(Wrapper):
    """A rule beside which an average of the parameters runs; the trajectory is the rule's own."""

    def init(self, params: PyTree) -> AveragedState:
        """State before the first step; the average is then the parameters."""
        return AveragedState(self.rule.init(params), jax.tree.map(jnp.array, params), jnp.int32(0))

    def step(self, hyper: Any, params: PyTree, state: AveragedState, grads: PyTree) -> tuple[PyTree, AveragedState]:
        """One step of the rule; the new parameters enter the average, once a step where the rule gathers over several."""
        state = self.own(state)
        moved, rule_state = self.rule.step(self.inner(hyper), params, state.rule, grads)

        def averaged(average: Array, p: Array) -> Array:
            dtype = compute_dtype(p)
            weight = 1 - jnp.asarray(hyper.ema_decay, dtype)
            mean = lerp(average.astype(dtype), p.astype(dtype), weight).astype(average.dtype)
            return jnp.where(state.count == 0, p, mean)

        average, count = jax.tree.map(averaged, state.average, moved), following(state.count)
        steps = True if isinstance(self.rule, Rule) else self.rule.moved(rule_state)
        if steps is not True:
            average = jax.tree.map(lambda new, old: jnp.where(steps, new, old), average, state.average)
            count = jnp.where(steps, count, state.count)
        return moved, AveragedState(rule_state, average, count)


@functools.cache
def average_weights(rule: Rule | Wrapper) -> Averaged:
    r"""An exponential moving average of the weights, as torch's ``AveragedModel`` with ``get_ema_multi_avg_fn``.

    .. math:: average_t = ema\_decay \cdot average_{t-1} + (1 - ema\_decay) \cdot p_t \qquad average_1 = p_1

    Adds the number ``ema_decay`` : scalar in [0, 1], 1. The average is ``state.average``; effective lr, direction and
    decay are the rule's: the average follows the parameters and has no part in their steps.

    References
    ----------
    ``torch/optim/swa_utils.py`` (2.13), ``AveragedModel.update_parameters``: the first step is copied.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = average_weights(rules.sgd())
    >>> params = {"w": jnp.array([1.0])}
    >>> hyper, state = rule.hyper(lr=1.0, ema_decay=0.5), rule.init(params)
    >>> for _ in range(2):
    ...     params, state = rule.step(hyper, params, state, {"w": jnp.array([1.0])})
    >>> params["w"].tolist(), state.average["w"].tolist()
    ([-1.0], [-0.5])
    """
    return Averaged(rule, "average_weights", {"ema_decay": Number(0.999, FRACTION, "1")}, AveragedState, {})
