"""Whether a function works coordinate by coordinate, read from its jaxpr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

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
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jax.numpy.shape(x), jax.numpy.result_type(x)), arguments)
    return _holds(jax.make_jaxpr(function)(*shapes).jaxpr)


def _holds(jaxpr: Any) -> bool:
    return all(_holds_for(equation) for equation in jaxpr.eqns)


def _holds_for(equation: Any) -> bool:
    name = equation.primitive.name
    if name == "broadcast_in_dim":
        return equation.invars[0].aval.shape == ()
    if name in CALLS:
        called = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        return called is not None and _holds(getattr(called, "jaxpr", called))
    return name in ELEMENTWISE
