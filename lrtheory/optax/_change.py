r"""The change that a step makes, read from the program of the step itself.

optax asks for the change of the parameters, rules give the parameters after it. New minus old has lost the bits of the step
below the last place of the parameter. They are still there one operation before: all rules end in :math:`p - x`, some in
:math:`p\,c - x` (decay that multiplies, as in torch) or :math:`(p - x)/c`. The change is therefore worked out from the end of
the program, with no second formula: :math:`-x`, :math:`p\,(c - 1) - x` and :math:`(-x - p\,(c - 1))/c`, where :math:`c - 1` is
exact for c from 1/2 to 2. A program that ends otherwise gives new minus old.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, DropVar, Literal, jaxpr_as_fun

from ..adopting.adopted import compiled
from ..rules import compute_dtype

PyTree = Any

#: Programs within a program.
_CALLS = ("jit", "pjit", "closed_call")


class _Still:
    """No change at all."""


_STILL = _Still()
_Change = Array | _Still | None  # None where the end of the program does not tell


class _Program:
    """A program that has run, with all values in it.

    ``given`` tells of an input by how much it has changed from the parameter.
    """

    def __init__(self, closed: Any, values: Sequence[Any], given: Callable[[int], _Change]) -> None:
        jaxpr = closed.jaxpr
        self.inputs = {var: i for i, var in enumerate(jaxpr.invars)}
        self.given, self.results = given, jaxpr.outvars
        self.made = {var: e for e in jaxpr.eqns for var in e.outvars if not isinstance(var, DropVar)}
        all_of_it = ClosedJaxpr(jaxpr.replace(outvars=[*self.made]), closed.consts)
        self.known = dict(zip(self.made, jaxpr_as_fun(all_of_it)(*values), strict=True))
        self.known.update(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *values], strict=True))

    def value(self, atom: Any) -> Any:
        return jnp.asarray(atom.val, jnp.result_type(atom.aval)) if isinstance(atom, Literal) else self.known[atom]

    def widest(self, atom: Any) -> Any:
        """The value before it was rounded to the dtype it is stored in."""
        equation = None if isinstance(atom, Literal) else self.made.get(atom)
        if equation is None or equation.primitive.name != "convert_element_type":
            return self.value(atom)
        return self.widest(equation.invars[0])

    def change(self, atom: Any, p: Array) -> _Change:
        """By how much a value differs from the parameter ``p``, formed without the difference of the two."""
        if isinstance(atom, Literal):
            return None
        if atom in self.inputs:
            return self.given(self.inputs[atom])
        equation = self.made.get(atom)
        if equation is None:
            return None
        name, operands = equation.primitive.name, equation.invars
        if name in _CALLS:
            inside = equation.params["jaxpr"]
            program = _Program(inside, [*map(self.value, operands)], lambda i: self.change(operands[i], p))
            return program.change(program.results[equation.outvars.index(atom)], p)
        if name == "convert_element_type":
            return self.change(operands[0], p)
        if name == "select_n":
            cases = [self.change(case, p) for case in operands[1:]]
            if any(case is None for case in cases):
                return None
            return jax.lax.select_n(self.value(operands[0]), *(_as_array(case, p) for case in cases))
        if name == "add":
            for one, other in (operands, operands[::-1]):
                found = self.change(one, p)
                if found is not None:
                    return self.value(other) if found is _STILL else found + self.value(other)
        if name == "sub":
            found, less = self.change(operands[0], p), self.value(operands[1])
            return None if found is None else -less if found is _STILL else found - less
        if name == "mul":
            for one, other in (operands, operands[::-1]):
                found, factor = self.change(one, p), self.value(other)
                if found is not None:
                    grown = p.astype(factor.dtype) * (factor - 1)
                    return grown if found is _STILL else grown + found * factor
        if name == "div":
            found, divisor = self.change(operands[0], p), self.value(operands[1])
            if found is not None:
                shrunk = p.astype(divisor.dtype) * (divisor - 1)
                return (-shrunk if found is _STILL else found - shrunk) / divisor
        return None


def _as_array(change: Any, p: Array) -> Array:
    return jnp.zeros(p.shape, compute_dtype(p)) if change is _STILL else change


@functools.partial(jax.jit, static_argnums=0)
def change(rule: Any, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> tuple[PyTree, Any]:
    """What ``rule.step`` adds to each parameter, and the new state; compiled, for a loop that is not.

    Returns
    -------
    updates : like params
        In the dtype of the gradient or the parameter, whichever is wider.
    state : the rule's
    """
    traced = compiled(rule).trace(hyper, params, state, grads)
    closed, (like, state_like) = traced.jaxpr, traced.out_info
    leaves, structure = jax.tree.flatten(params)
    first = len(jax.tree.leaves(hyper))
    arguments = jax.tree.leaves((hyper, params, state, grads))
    program = _Program(closed, arguments, lambda i: None)
    updates = []
    for place, (given, g) in enumerate(zip(leaves, structure.flatten_up_to(grads), strict=True)):
        p = jnp.asarray(given)
        program.given = lambda i, at=first + place: _STILL if i == at else None
        found = program.change(program.results[place], p)
        if found is None:
            new = program.widest(program.results[place])
            found = new - p.astype(new.dtype)
        wide = jnp.broadcast_to(_as_array(found, p), p.shape)
        updates.append(_stored(wide, p, p.dtype if g is None else jnp.promote_types(p.dtype, g.dtype)))
    kept = [program.value(atom) for atom in program.results[len(leaves) :]]
    return jax.tree.unflatten(jax.tree.structure(like), updates), jax.tree.unflatten(
        jax.tree.structure(state_like), kept
    )


def _stored(update: Array, p: Array, dtype: Any) -> Array:
    """Rounded to half precision on the side from which the parameter comes out as it should, where there is one."""
    stored = update.astype(dtype)
    if stored.dtype == update.dtype:
        return stored
    wide = p.astype(update.dtype)
    wanted, off = (wide + update).astype(p.dtype), update - stored.astype(update.dtype)
    other = jnp.nextafter(stored, jnp.where(off > 0, jnp.inf, -jnp.inf).astype(dtype))
    lands, would = ((wide + u.astype(update.dtype)).astype(p.dtype) == wanted for u in (stored, other))
    return jnp.where(~lands & would, other, stored)
