"""Replay in Keras 3, on its JAX backend: the whole run as one compiled scan."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lrtheory import spec
from lrtheory.names import entry
from lrtheory.names.keras import NAMES
from lrtheory.port.counterparts import NoCounterpartError, in_keras
from lrtheory.rules import Rule

from ..cases import Case
from ..dtypes import numbers_in
from ..table import Inexpressible
from ..trajectory import Trajectory
from . import held
from .ours import as_arrays, by_step, framed, moving_lr, rule_of


def replay(case: Case, *, reference: Trajectory | None = None) -> Trajectory:
    """One run; with ``reference``, parameters are set to the reference's before every step and state goes on by itself.

    Raises
    ------
    Inexpressible
        When Keras has no such rule, or cannot express its options.
    RuntimeError
        When Keras is loaded on another backend already.
    """
    if case.rule not in NAMES:
        raise Inexpressible(f"keras has no {case.rule}")
    keras = load_keras()
    rule = rule_of(case)
    with jax.enable_x64(case.dtype == "float64"), floatx(keras, numbers_in(case.dtype)):
        hyper = rule.hyper(**case.numbers)
        lrs = moving_lr(case, hyper, "keras")
        params, grads = as_arrays(case.first_params()), as_arrays(case.gradients())
        if rule.options.get("maximize"):
            grads = jax.tree.map(jnp.negative, grads)
        shapes = tuple((name, value.shape) for name, value in params.items())
        first, run = _program(rule, tuple(hyper._asdict().items()), shapes, case.dtype)
        forced = None if reference is None else {k: jnp.asarray(v[:-1]) for k, v in reference.params.items()}
        history, kept = jax.tree.map(np.asarray, run(first(params), lrs, params, grads, forced))
    return framed("keras", params, history, by_step(kept, case.steps), lrs)


def load_keras() -> Any:
    """Keras on JAX, which is there already and which runs the update as a pure function."""
    keras = spec.load_keras()
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"Keras is loaded with its {keras.backend.backend()} backend; set KERAS_BACKEND=jax before it is imported"
        )
    return keras


def floatx(keras: Any, dtype: str) -> contextlib.AbstractContextManager[None]:
    """Keras keeps the lr, and what else is no parameter, in its default dtype."""
    return held(keras.config.floatx, keras.config.set_floatx, dtype)


@functools.cache
def _program(
    rule: Rule,
    numbers: tuple[tuple[str, float], ...],
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    dtype: str,
) -> tuple[Any, Any]:
    """The state of one optimizer before its first step and its compiled run, whatever its lr does."""
    keras = load_keras()
    keras_name = entry(NAMES, rule)
    try:
        optimizer = in_keras(rule, dict(numbers), float(dict(numbers)["lr"]), strict=False).make()
    except NoCounterpartError as error:
        raise Inexpressible(str(error)) from error
    names = [name for name, _ in shapes]
    variables = [keras.Variable(jnp.zeros(shape), dtype=dtype, name=name) for name, shape in shapes]
    optimizer.build(variables)
    paths = [variable.path for variable in optimizer.variables]
    iterations, lr_at = (next(i for i, path in enumerate(paths) if path.endswith(k)) for k in ("iteration", "rate"))

    def first(params: Any) -> list[Any]:
        # An optimizer may start from the parameters, as the schedule-free ones do.
        values = [jnp.asarray(variable.value) for variable in optimizer.variables]
        for suffix in keras_name.starts_at_params.values():
            for name in names:
                values[_position(paths, name, suffix)] = params[name]
        return values

    @jax.jit
    def run(first: Any, lrs: Any, params: Any, grads: Any, forced: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            params, state = carry
            lr, grads, forced = now
            if forced is not None:
                params = forced
            state = [*state]
            state[lr_at] = lr
            after, state = optimizer.stateless_apply(state, [grads[n] for n in names], [params[n] for n in names])
            params = dict(zip(names, after, strict=True))
            kept = {
                name: {
                    field: state[iterations] if suffix == "iteration" else state[_position(paths, name, suffix)]
                    for field, suffix in keras_name.state.items()
                }
                for name in names
            }
            return (params, state), (params, kept)

        return lax.scan(step, (params, first), (lrs, grads, forced))[1]

    return first, run


def _position(paths: list[str], tensor: str, suffix: str) -> int:
    """Where a variable of the optimizer stands, by the tensor it belongs to and its own name."""
    return next(i for i, path in enumerate(paths) if path.endswith(f"{tensor}_{suffix}"))
