"""Measuring one step in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..numbers import is_concrete
from ..rules import Rule
from ._probe import probe
from ._summary import QUANTILES, SAMPLE, measure

PyTree = Any

INTERVAL = 1000


class Step(NamedTuple):
    """A step as :func:`measure` takes it, which it measures when called."""

    rule: Any
    hyper: Any
    state: Any
    """After the step."""
    grads: PyTree
    params_before: PyTree
    params_after: PyTree

    def __call__(self) -> PyTree:
        """:func:`measure`, over every coordinate."""
        return measure(*self)


def measure_every(
    step: int | Array,
    rule: Rule,
    hyper: Any,
    state: Any,
    grads: PyTree,
    params_before: PyTree,
    params_after: PyTree,
    *,
    interval: int | Array = INTERVAL,
    quantiles: tuple[float, ...] = QUANTILES,
    sample: int = SAMPLE,
    exact: bool = True,
) -> PyTree:
    """:func:`measure` in steps 0, ``interval``, 2·``interval``, …; nan in every figure of the others.

    A loop that stacks the figures of every step still writes them in every step: :func:`scan` does not.

    Parameters
    ----------
    step
        Steps taken before this one; traced.
    interval
        Every how many steps to measure; traced.
    others
        As :func:`measure` takes them.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
        The same structure in every step, so that ``lax.scan`` stacks it.

    Raises
    ------
    ValueError
        For an interval below 1.
    """
    if is_concrete(interval) and not np.all(np.asarray(interval) >= 1):
        raise ValueError(f"interval={interval}: measure every step (1), every second (2), ...")

    def look() -> PyTree:
        given = (rule, hyper, state, grads, params_before, params_after)
        return measure(*given, quantiles=quantiles, sample=sample, exact=exact)

    def look_away() -> PyTree:
        return jax.tree.map(lambda figure: jnp.full(figure.shape, jnp.nan, figure.dtype), jax.eval_shape(look))

    return lax.cond(jnp.asarray(step) % interval == 0, look, look_away)


def scan(
    step: Callable[[Any, Any], tuple[Any, Any, Callable[[], PyTree]]],
    init: Any,
    xs: PyTree,
    *,
    interval: int = INTERVAL,
    sample: int = 0,
) -> Any:
    """``lax.scan`` that measures steps 0, ``interval``, 2·``interval``, …, and spends nothing on the others.

    Parameters
    ----------
    step
        ``(carry, x) -> (carry, y, look)``. ``look`` takes nothing and returns what to record, such as
        ``lambda: effective.measure(rule, hyper, state, grads, before, after)``; it is called where a step is measured.
        ``effective.Step(rule, hyper, state, grads, before, after)`` is that, and may be sampled too.
    init
        First carry.
    xs
        Arrays with one entry a step, at least one.
    interval
        Every how many steps to measure; static, as it is the length of a compiled loop.
    sample
        Coordinates of each parameter to take at every step, as :func:`probe` does; none by default. Static.

    Returns
    -------
    carry, ys, seen
        ``ys`` has one entry a step, ``seen`` one for each measured step. With a ``sample`` also the :class:`Probe` of every
        step, whose ``summaries()`` have one entry a step.

    Raises
    ------
    TypeError
        For a ``sample`` where ``step`` gives no :class:`Step`.
    ValueError
        For an interval below 1, or ``xs`` without a step.
    """
    if interval < 1:
        raise ValueError(f"interval={interval}: measure every step (1), every second (2), ...")
    steps = len(jax.tree.leaves(xs)[0]) if jax.tree.leaves(xs) else 0
    if not steps:
        raise ValueError("xs has no step: give arrays with one entry a step, such as jnp.arange(steps)")

    def taken(carry: Any, x: Any) -> tuple[Any, Any, Callable[[], PyTree]]:
        carry, y, look = step(carry, x)
        if not sample:
            return carry, (y, None), look
        if not isinstance(look, Step):
            raise TypeError(
                f"sample={sample} needs an effective.Step from the step function, not {type(look).__name__}"
            )
        return carry, (y, probe(*look, sample=sample)), look

    def unmeasured(carry: Any, x: Any) -> tuple[Any, Any]:
        return taken(carry, x)[:2]

    def block(carry: Any, xs: Any) -> tuple[Any, Any]:
        carry, y, look = taken(carry, jax.tree.map(lambda x: x[0], xs))
        seen = look()
        carry, ys = lax.scan(unmeasured, carry, jax.tree.map(lambda x: x[1:], xs))
        return carry, (jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), y, ys), seen)

    whole = steps // interval
    carry, stacked = init, []
    for start, count, length in ((0, whole, interval), (whole * interval, 1, steps - whole * interval)):
        if count and length:
            cut = jax.tree.map(
                lambda x, at=start, by=(count, length): x[at : at + by[0] * by[1]].reshape(*by, *x.shape[1:]), xs
            )
            carry, (ys, seen) = lax.scan(block, carry, cut)
            stacked.append((jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), ys), seen))
    ys, seen = jax.tree.map(lambda *parts: jnp.concatenate(parts), *stacked)
    ys, probes = ys
    return (carry, ys, seen, probes) if sample else (carry, ys, seen)
