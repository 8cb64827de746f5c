"""A loss that nothing is known of but its units, for optimizers that evaluate it themselves.

Two primitives without an implementation: the value at some parameters is in [loss], the gradient there is in
[loss]/[param]. They are only traced, never run.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive

from ...units import GRADIENT, LOSS, PARAM
from .._jaxpr.operations import Site, Values
from .._jaxpr.primitives import TABLE
from .._kernel.expression import Expression
from .._kernel.value import Value

_value = Primitive("loss_value")
_gradient = Primitive("loss_gradient")
_gradient.multiple_results = True


@_value.def_abstract_eval
def _(*params: Any) -> Any:
    return ShapedArray((), params[0].dtype)


@_gradient.def_abstract_eval
def _(*params: Any) -> Any:
    return [ShapedArray(p.shape, p.dtype) for p in params]


def _demand_params(site: Site, values: Values) -> None:
    for value in values:
        if value.units is not None:
            site.ledger.demand(value.units, Expression(PARAM), "evaluates the loss at", site.at, value.constant)


def _value_rule(site: Site, values: Values) -> Value:
    _demand_params(site, values)
    return Value(Expression(LOSS), measured=True)


def _gradient_rule(site: Site, values: Values) -> list[Value]:
    _demand_params(site, values)
    return [Value(Expression(GRADIENT), measured=True) for _ in values]


TABLE["loss_value"] = _value_rule
TABLE["loss_gradient"] = _gradient_rule


@jax.custom_vjp
def loss(params: Any) -> Any:
    """The loss at ``params``."""
    return _value.bind(*jax.tree.leaves(params))


def _forward(params: Any) -> tuple[Any, Any]:
    return loss(params), params


def _backward(params: Any, cotangent: Any) -> tuple[Any]:
    leaves, structure = jax.tree.flatten(params)
    gradients = _gradient.bind(*leaves)
    return (structure.unflatten([cotangent * g for g in gradients]),)


loss.defvjp(_forward, _backward)
