"""An update as two traced functions, ``init`` and ``step``, and the units of everything that enters them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...units import GRADIENT, PARAM, Units
from .._kernel.equations import Demand, UnknownOperationError
from .._kernel.expression import PURE_EXPRESSION, Expression
from .._kernel.ledger import HYPER, LEARNING_RATE, STATE, Ledger
from .._kernel.value import PURE_VALUE, Value
from .._verdict import Walked, diagnose, dimensions, settled
from ..dimensions import NOT_READ_HERE, Dimensions
from .judge import STEPS, evidence
from .walk import walk

PyTree = Any

# A matrix large enough to be factored, and a vector: rules may treat the two differently. Only shapes are traced.
SHAPES = {"matrix": (128, 130), "vector": (8,)}


def example_params(shapes: Mapping[str, tuple[int, ...]] | None = None) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the parameters that an update is traced with."""
    return {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in (shapes or SHAPES).items()}


def accepted_shapes(init: Callable[[PyTree], PyTree]) -> Mapping[str, tuple[int, ...]]:
    """Matrices and vectors, or matrices alone where an ``init`` refuses the rest."""
    for shapes in (SHAPES, {"matrix": SHAPES["matrix"]}):
        try:
            jax.eval_shape(init, example_params(shapes))
        except (ValueError, TypeError):
            continue
        return shapes
    return SHAPES


@dataclass
class Program:
    """An update to be walked."""

    target: str
    init: Callable[[Any, PyTree], PyTree]  # hyper, params -> state
    step: Callable[..., tuple[PyTree, PyTree]]  # hyper, state, grads, params, extra -> (update or new params, state)
    hyper: Mapping[str, float]  # the numbers that are traced, in the order of the signature
    params: PyTree = field(default_factory=example_params)  # shapes
    # further inputs of the step, such as the value of the loss
    extra: Mapping[str, tuple[Any, Units]] = field(default_factory=dict)
    functions: tuple[str, ...] = ()  # names by which the step takes the loss itself too, among the extra inputs
    # what the step's first result must be in; None to accept any, as of a transformation to be chained
    update: Units | None = PARAM
    held: Mapping[str, float] = field(default_factory=dict)  # numbers that were not traced
    expected: Mapping[str, Units] = field(default_factory=dict)  # units that hyperparameters are known to have
    notes: tuple[str, ...] = ()
    returns_params: bool = False  # what the step returns first are new parameters, not what is added to them
    gradient: Units = GRADIENT  # what enters the step in the place of gradients

    def holding(self, names: Mapping[str, str]) -> Program:
        """The same program with some numbers held at their values, and notes that say why."""
        fixed = {name: self.hyper[name] for name in self.hyper if name in names}
        notes = tuple(f"{name} is held at {value:g}: {names[name]}" for name, value in fixed.items())

        def with_fixed(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda numbers, *rest: function({**fixed, **numbers}, *rest)

        return replace(
            self,
            init=with_fixed(self.init),
            step=with_fixed(self.step),
            hyper={name: value for name, value in self.hyper.items() if name not in fixed},
            held={**self.held, **fixed},
            notes=(*self.notes, *notes),
        )


def infer_program(program: Program, *, judge: bool = True) -> Dimensions:
    """Units of a program's hyperparameters and state, where need be with as few numbers held as make a law.

    A law that comes out is tried in numbers, unless ``judge`` is false.
    """
    zeros = {name for name, value in program.hyper.items() if value == 0}
    found = settled(lambda held: _infer(program.holding(held)), zeros)
    if not judge or found.status not in ("proven", "guarded"):
        return found
    against, moved = evidence(program, found)
    still = () if moved else (f"in numbers nothing moved in {STEPS} steps: the law is read from the code alone",)
    return replace(found, unknown=against, notes=(*found.notes, *still))


def _infer(program: Program) -> Walked:
    ledger = Ledger()
    hyper = {
        name: ledger.unknown(name, LEARNING_RATE if position == 0 or name in ("lr", "learning_rate") else HYPER)
        for position, name in enumerate(program.hyper)
    }
    for name, units in program.expected.items():
        if name in program.held:
            continue
        if name not in hyper:
            raise ValueError(f"{program.target} has no hyperparameter {name!r}: it has {', '.join(hyper) or 'none'}")
        ledger.demand(hyper[name], Expression(units), f"expects {name} in {units}:", Demand())

    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    numbers = dict.fromkeys(hyper, scalar)
    number_values = [
        Value(hyper[name], nonnegative=program.hyper[name] >= 0, name=name, identity=object()) for name in sorted(hyper)
    ]  # dicts are flattened in sorted order
    init_jaxpr, state_shapes = jax.make_jaxpr(program.init, return_shape=True)(numbers, program.params)
    extras = {name: shape for name, (shape, _) in program.extra.items()}
    step_jaxpr, (update_shapes, _) = jax.make_jaxpr(program.step, return_shape=True)(
        numbers, state_shapes, program.params, program.params, extras
    )

    leaves, _ = jax.tree_util.tree_flatten_with_path(state_shapes)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    state = {
        path: ledger.unknown(path, STATE)
        for path, (_, leaf) in zip(paths, leaves, strict=True)
        if jnp.issubdtype(leaf.dtype, np.inexact)
    }
    state_values = [
        Value(state[path], measured=True, name=path, identity=object())
        if path in state
        else PURE_VALUE.but(name=path, identity=object())
        for path in paths
    ]

    def inputs(units: Units, tree: PyTree, name: str) -> list[Value]:
        return [Value(Expression(units), measured=True, name=name, identity=object()) for _ in jax.tree.leaves(tree)]

    grads, params = (
        inputs(program.gradient, program.params, "the gradient"),
        inputs(PARAM, program.params, "the parameter"),
    )
    extra_values = [
        Value(Expression(program.extra[name][1]), measured=True, name=name)
        for name in sorted(program.extra)
        for _ in jax.tree.leaves(extras[name])
    ]
    try:
        read = _read_inputs(step_jaxpr.jaxpr)[len(number_values) : len(number_values) + len(paths)]
        first = walk(ledger, init_jaxpr, [*number_values, *params])
        for value, path, is_read in zip(first, paths, read, strict=True):
            if is_read:  # what no step reads may start as anything
                ledger.settle(value)
                _keep_units(ledger, state, path, value, "starts")
        results = walk(ledger, step_jaxpr, [*number_values, *state_values, *grads, *params, *extra_values])
        for value in results:
            ledger.settle(value)
        ledger.read.update(value.name for value in (*first, *results))
    except UnknownOperationError as error:
        return Walked(Dimensions(program.target, unknown=str(error), notes=program.notes, program=program))

    updates, new_state = results[: len(jax.tree.leaves(update_shapes))], results[len(jax.tree.leaves(update_shapes)) :]
    for value, path in zip(new_state, paths, strict=True):
        _keep_units(ledger, state, path, value, "updates")
    wanted = Expression(program.update) if program.update is not None else ledger.unknown("update", STATE)
    for value in updates:
        if value.units is not None:
            ledger.demand(value.units, wanted, "moves parameters by", value.origin, value.constant)

    diagnosis = diagnose(ledger, program.held)
    numeric = [p for p, (_, leaf) in zip(paths, leaves, strict=True) if jnp.issubdtype(leaf.dtype, np.number)]
    update = diagnosis.solver.residual(wanted)[0]
    found = dimensions(
        program.target, ledger, diagnosis, hyper, state, numeric, _leaf_names(program.params), update, program.notes
    )
    involved = {ledger.names[number] for number in diagnosis.involved}
    unread = dict.fromkeys((name for name in hyper if name not in ledger.read), NOT_READ_HERE)
    return Walked(replace(found, program=program, unread=unread), ledger.exponents, involved)


def _read_inputs(jaxpr: Any) -> list[bool]:
    """For each input, whether anything in the program reads it."""
    used = {id(atom) for eqn in jaxpr.eqns for atom in eqn.invars} | {id(atom) for atom in jaxpr.outvars}
    return [id(var) in used for var in jaxpr.invars]


def _keep_units(ledger: Ledger, state: Mapping[str, Expression], path: str, value: Value, what: str) -> None:
    if value.units is None:
        return
    ledger.demand(
        state.get(path, PURE_EXPRESSION), value.units, f"{what} the state {path}:", value.origin, value.constant
    )


def _leaf_names(params: PyTree) -> list[str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
