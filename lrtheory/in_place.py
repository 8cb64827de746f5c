"""One compiled step that overwrites parameters and state: no second copy of either in memory.

JAX hands the memory of donated arguments to the results in the order both are flattened in. With parameters and state
in one order among the arguments and another among the results, the new parameters land where an average was, XLA copies
what it must still read, and the step takes twice the time. Here the orders agree.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from .rules.rule import Rule

PyTree = Any


def init(rule: Rule, params: PyTree) -> Any:
    """State before the first step, every array with memory of its own, which ``rule.init`` does not promise."""
    return jax.jit(rule.init)(params)


@functools.cache
def step(rule: Rule) -> Callable[[PyTree, Any, PyTree, Any], tuple[PyTree, Any]]:
    """``rule.step``, compiled, taking the memory of what it is given.

    Parameters
    ----------
    rule : Rule or wrapped rule
        One program per rule and per structure of the parameters serves every value of the numbers.

    Returns
    -------
    callable
        ``(params, state, grads, hyper) -> (params, state)``. Parameters and state are consumed: what was given must not
        be used again. Gradients are left alone.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import in_place, rules
    >>> rule = rules.adam()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> state = in_place.init(rule, params)
    >>> params, state = in_place.step(rule)(params, state, {"w": jnp.array([3.0, -0.1])}, rule.hyper(lr=0.5))
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    # An argument that a rule does not read would be dropped from the program, and its memory with it.
    @functools.partial(jax.jit, donate_argnames=("params", "state"), keep_unused=True)
    def in_place(params: PyTree, state: Any, grads: PyTree, hyper: Any) -> tuple[PyTree, Any]:
        return rule.step(hyper, state, grads, params)

    return in_place
