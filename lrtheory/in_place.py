"""One compiled step that overwrites parameters and state: no second copy of either in memory.

JAX hands the memory of donated arguments to the results in the order both are flattened in. With parameters and state
in one order among the arguments and another among the results, the new parameters land where an average was, XLA copies
what it must still read, and the step takes twice the time. Here the orders agree.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from .numbers import check_rule
from .rules import Rule

PyTree = Any

#: Types of what may be static; ``None`` is a hyperparameter that an option has switched off.
PYTHON_NUMBERS = frozenset({int, float, type(None)})


def init(rule: Rule, params: PyTree) -> Any:
    """State before the first step, every array with memory of its own, which ``rule.init`` does not promise."""
    check_rule("in_place.init", rule)
    return jax.jit(rule.init)(params)


def step(rule: Rule, *, static: str | Sequence[str] = ()) -> Step:
    """``rule.step``, compiled, taking the memory of what it is given.

    Parameters
    ----------
    rule : Rule or wrapped rule
        One program per rule and per structure of the parameters serves every value of the hyperparameters.
    static : the name of a hyperparameter, or several
        These become constants of the program, which is compiled anew for each of their values. A weight decay that is known
        to be 0, or a momentum that is known not to be, saves reading the parameters, or the gradients, once more.

    Returns
    -------
    callable
        ``(hyper, params, state, grads) -> (params, state)``. Parameters and state are consumed: what was given must not
        be used again. Gradients are left alone. ``lower`` takes the same arguments, or their shapes.

    Raises
    ------
    TypeError
        For a name that the rule does not have; when called, for a static hyperparameter that is an array.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import in_place, rules
    >>> rule = rules.adam()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> state = in_place.init(rule, params)
    >>> step = in_place.step(rule, static="weight_decay")
    >>> params, state = step(rule.hyper(lr=0.5), params, state, {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """
    check_rule("in_place.step", rule)
    names = (static,) if isinstance(static, str) else tuple(static)
    for name in names:
        if name not in rule.Hyper._fields:
            raise TypeError(
                f"{rule!r} has no hyperparameter {name!r} to be static: it has {', '.join(rule.Hyper._fields)}"
            )
    return _step(rule, names)


@functools.cache
def _step(rule: Rule, static: tuple[str, ...]) -> Step:
    """One object for equal arguments, so that they share compiled programs."""

    # An argument that a rule does not read would be dropped from the program, and its memory with it.
    @functools.partial(jax.jit, static_argnames="fixed", donate_argnames=("params", "state"), keep_unused=True)
    def in_place(hyper: Any, params: PyTree, state: Any, grads: PyTree, fixed: tuple[float | None, ...]) -> Any:
        return rule.step(hyper._replace(**dict(zip(static, fixed, strict=True))), params, state, grads)

    return Step(rule, static, in_place)


@dataclass(frozen=True, eq=False)
class Step:
    """A compiled step that overwrites parameters and state, from :func:`step`."""

    rule: Rule
    static: tuple[str, ...]
    program: Any

    def __call__(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> tuple[PyTree, Any]:
        """Parameters and state after the step, in the memory of those before."""
        traced, fixed = self._divided(hyper)
        return self.program(traced, params, state, grads, fixed)

    def lower(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> Any:
        """As ``jax.jit(...).lower``."""
        traced, fixed = self._divided(hyper)
        return self.program.lower(traced, params, state, grads, fixed)

    def _divided(self, hyper: Any) -> tuple[Any, tuple[float | None, ...]]:
        """The hyperparameters that are traced, and the values of those that are not: at every step, so no more than needed."""
        if not self.static:
            return hyper, ()
        fixed = tuple([getattr(hyper, name) for name in self.static])
        if not PYTHON_NUMBERS.issuperset(map(type, fixed)):
            self._check(fixed)
        return hyper._replace(**dict.fromkeys(self.static)), fixed

    def _check(self, fixed: tuple[Any, ...]) -> None:
        for name, value in zip(self.static, fixed, strict=True):
            if not isinstance(value, (int, float, type(None))):
                raise TypeError(
                    f"{self.rule!r}: {name} is static in this step and must be a Python number, not "
                    f"{type(value).__name__}; give {name}=float(...), or leave it out of static"
                )
