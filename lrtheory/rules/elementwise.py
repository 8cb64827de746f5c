"""Whether a function works coordinate by coordinate, read from its jaxpr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Literal

#: Primitives whose every output coordinate depends on the same coordinate of the inputs alone.
ELEMENTWISE = frozenset({
    "abs", "add", "and", "ceil", "clamp", "convert_element_type", "copy", "cos", "div", "eq", "erf", "exp", "exp2",
    "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min",
    "mul", "ne", "neg", "not", "or", "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n", "sign", "sin",
    "sqrt", "square", "stop_gradient", "sub", "tanh", "xor",
})  # fmt: skip
#: Primitives that only call another jaxpr.
CALLS = frozenset({"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"})


def is_elementwise(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether arrays only ever meet arrays of their own shape, and scalars; what is not known to be so is not.

    Parameters
    ----------
    function : of arrays in pytrees
    arguments : arrays, or their shapes and dtypes
    """
    return _holds(jax.make_jaxpr(function)(*_shapes(arguments)).jaxpr)


def on_coordinates(choose: Callable[[Array], Array], function: Callable[..., Any], *arguments: Any) -> Any:
    """Results of an elementwise function at some coordinates, computed there alone.

    What the function makes of the arrays' shapes stays as it is: its jaxpr is for whole arrays, and is evaluated on
    those that ``choose`` takes from them.

    Parameters
    ----------
    choose : array -> array
        Some coordinates of it, the same ones for arrays of one shape; a scalar is left as it is.
    function : one that :func:`is_elementwise` holds for
    arguments : arrays in pytrees
    """
    return evaluated_on(choose, function, arguments, jax.tree.map(lambda x: choose(jnp.asarray(x)), arguments))


def evaluated_on(choose: Callable[[Array], Array], function: Callable[..., Any], arguments: Any, chosen: Any) -> Any:
    """The same where the coordinates have been chosen before, and of the whole ``arguments`` shapes and dtypes are left."""
    closed, results = jax.make_jaxpr(function, return_shape=True)(*_shapes(arguments))
    values = _evaluated(closed.jaxpr, [jnp.asarray(x) for x in closed.consts], jax.tree.leaves(chosen), choose)
    return jax.tree.unflatten(jax.tree.structure(results), values)


def _shapes(arguments: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), arguments)


def _holds(jaxpr: Any) -> bool:
    return all(v.aval.shape == () for v in jaxpr.constvars) and all(_holds_for(equation) for equation in jaxpr.eqns)


def _holds_for(equation: Any) -> bool:
    name = equation.primitive.name
    if name == "broadcast_in_dim":
        return equation.invars[0].aval.shape == ()
    if name in CALLS:
        return _called(equation) is not None and _holds(_called(equation))
    return name in ELEMENTWISE


def _called(equation: Any) -> Any:
    called = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return getattr(called, "jaxpr", called)


def _evaluated(jaxpr: Any, consts: list[Any], values: list[Any], choose: Callable[[Array], Array]) -> list[Any]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *values], strict=True))

    def read(atom: Any) -> Any:
        return jnp.asarray(atom.val, jnp.result_type(atom.aval)) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        if equation.primitive.name in CALLS:
            made = _evaluated(_called(equation), [], given, choose)
        elif equation.primitive.name == "broadcast_in_dim":
            shape = jax.eval_shape(choose, equation.outvars[0].aval).shape
            made = [jnp.broadcast_to(given[0], shape)]
        else:
            made = [equation.primitive.bind(*given, **equation.params)]
        known.update(zip(equation.outvars, made, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
