"""A loss that nothing is known of but its units, for optimizers that evaluate it themselves.

Three primitives without an implementation: the value at some parameters is in [loss], the gradient there in
[loss]/[param], and how that changes along a direction in the direction's units times [loss]/[param]². They are only
traced, never run.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive

from ...units import GRADIENT, LOSS, PARAM
from .._jaxpr.operations import Site, Values
from .._jaxpr.primitives import TABLE
from .._kernel.expression import Expression
from .._kernel.value import Value

_value = Primitive("loss_value")
_gradient = Primitive("loss_gradient")
_curvature = Primitive("loss_curvature")
_gradient.multiple_results = _curvature.multiple_results = True


@_value.def_abstract_eval
def _(*params: Any) -> Any:
    return ShapedArray((), params[0].dtype)


@_gradient.def_abstract_eval
def _(*params: Any) -> Any:
    return [ShapedArray(p.shape, p.dtype) for p in params]


@_curvature.def_abstract_eval
def _(*params_and_directions: Any) -> Any:
    return [ShapedArray(p.shape, p.dtype) for p in params_and_directions[: len(params_and_directions) // 2]]


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


def _curvature_rule(site: Site, values: Values) -> list[Value]:
    params, directions = values[: len(values) // 2], values[len(values) // 2 :]
    _demand_params(site, params)
    along = site.ledger.same(directions, "differentiates along", site.at)
    units = None if along is None else along.times(Expression(GRADIENT.times(PARAM.power(-1))))
    return [Value(units, measured=True) for _ in params]


TABLE["loss_value"] = _value_rule
TABLE["loss_gradient"] = _gradient_rule
TABLE["loss_curvature"] = _curvature_rule


@jax.custom_jvp
def loss(params: Any) -> Any:
    """The loss at ``params``."""
    return _value.bind(*jax.tree.leaves(params))


@loss.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (params,), (directions,) = primals, tangents
    slopes = _gradient_at(jax.tree.leaves(params))
    return loss(params), sum(jnp.sum(g * d) for g, d in zip(slopes, jax.tree.leaves(directions), strict=True))


@jax.custom_jvp
def _gradient_at(leaves: Any) -> Any:
    return _gradient.bind(*leaves)


@_gradient_at.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (leaves,), (directions,) = primals, tangents
    return _gradient_at(leaves), _curvature.bind(*leaves, *directions)
