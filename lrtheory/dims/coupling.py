"""Where a rule takes tensors together, so that the step of one depends on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal

from ._jaxpr.program import example_params
from ._jaxpr.source import EquationOrigin, origin_inside
from ._jaxpr.walk import called_body
from ._kernel.equations import Location, Origin
from ._rule_reader import rule_program

TENSORS = {"one": (4, 3), "other": (4, 3)}


class _Reach(NamedTuple):
    """The tensors that a value depends on, and the line that first took several of them."""

    tensors: frozenset[str] = frozenset()
    origin: Origin | None = None


def coupling(rule: Any) -> Location | None:
    """The line at which a rule first takes several tensors together; ``None`` where each is stepped by itself."""
    program = rule_program(rule, {}, TENSORS)
    params = example_params(TENSORS)
    state = jax.eval_shape(program.init, program.hyper, params)
    try:
        closed, shapes = jax.make_jaxpr(program.step, return_shape=True)(program.hyper, state, params, params, {})
    except TypeError as error:
        if "sparse gradients" not in str(error):
            raise
        program = rule_program(rule, {}, TENSORS, sparse=True)
        closed, shapes = jax.make_jaxpr(program.step, return_shape=True)(program.hyper, state, params, params, {})

    def tensor(path: Any) -> frozenset[str]:
        last = jax.tree_util.keystr(path[-1:], simple=True) if path else ""
        return frozenset((last,) if last in TENSORS else ())

    given = jax.tree_util.tree_leaves_with_path((program.hyper, state, params, params, {}))
    results = _walk(closed, [_Reach(tensor(path)) for path, _ in given], None)
    for (path, _), reach in zip(jax.tree_util.tree_leaves_with_path(shapes), results, strict=True):
        if reach.origin is not None and not reach.tensors <= tensor(path):
            return reach.origin.location()
    return None


def _walk(closed: Any, inputs: Sequence[_Reach], call: Origin | None) -> list[_Reach]:
    jaxpr = closed.jaxpr
    env: dict[Any, _Reach] = dict.fromkeys(jaxpr.constvars, _Reach())
    env.update(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> _Reach:
        return _Reach() if isinstance(atom, Literal) else env[atom]

    for eqn in jaxpr.eqns:
        operands, origin, body = [read(atom) for atom in eqn.invars], EquationOrigin(eqn, call), called_body(eqn)
        if body is not None:
            results = _walk(body, operands, origin_inside(call, origin, body.jaxpr))
        else:
            results = [_joined(operands, origin)] * len(eqn.outvars)
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _joined(operands: Sequence[_Reach], origin: Origin) -> _Reach:
    tensors = frozenset().union(*(o.tensors for o in operands))
    before = next((o.origin for o in operands if o.origin is not None), None)
    return _Reach(tensors, before or (origin if len(tensors) > 1 else None))
