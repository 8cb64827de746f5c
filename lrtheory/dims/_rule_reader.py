"""Units of a rule of this package, or of a wrapped one, from its own functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from ..rules import SparseGradient
from ..units import Units
from ._jaxpr.program import Program, accepted_shapes, example_params, infer_program
from .dimensions import Dimensions


def infer_rule(
    rule: Any, expected: Mapping[str, Units], shapes: Mapping[str, tuple[int, ...]] | None = None, *, judge: bool = True
) -> Dimensions:
    """Units of a rule's numbers and state; some rules only take matrices, some only sparse gradients."""
    shapes = shapes or accepted_shapes(rule.init)
    try:
        return infer_program(rule_program(rule, expected, shapes), judge=judge)
    except TypeError as error:
        if "sparse gradients" not in str(error):
            raise
        return infer_program(rule_program(rule, expected, shapes, sparse=True), judge=judge)


def rule_program(
    rule: Any, expected: Mapping[str, Units], shapes: Mapping[str, tuple[int, ...]], *, sparse: bool = False
) -> Program:
    """A Rule's own functions, with its numbers traced."""
    values = _defaults(rule)
    defaults = rule.Hyper(**{name: values.get(name, 1.0) for name in rule.Hyper._fields})
    hyper = {name: value for name, value in zip(defaults._fields, defaults, strict=True) if value is not None}

    def step(numbers: Any, state: Any, grads: Any, params: Any, extra: Any) -> Any:
        if sparse:
            grads = jax.tree.map(SparseGradient.from_dense, grads)
        return rule.step(defaults._replace(**numbers), params, state, grads)

    return Program(
        target=repr(rule),
        init=lambda numbers, params: rule.init(params),
        step=step,
        hyper=hyper,
        params=example_params(shapes),
        expected=expected,
        returns_params=True,
        notes=("sparse gradients",) if sparse else (),
    )


def _defaults(rule: Any) -> dict[str, Any]:
    """Defaults of a rule's numbers, or of a wrapper's and the rule's inside."""
    if hasattr(rule, "array_rule"):
        return {**rule.Hyper._field_defaults, **rule.array_rule.defaults}
    own = {name: number.default for name, number in rule.numbers.items() if number.default is not None}
    return {**_defaults(rule.rule), **own}
