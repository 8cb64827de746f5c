"""Replay in optax: the whole run as one compiled scan."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..cases import Case
from ..dtypes import numbers_in
from ..table import Inexpressible, row
from ..trajectory import Snapshot, Trajectory
from . import ONCE
from .ours import moving_numbers, rule_of


def replay(case: Case, *, reference: Trajectory | None = None) -> Trajectory:
    """One run; with ``reference``, parameters and moments are set to the reference's before every step.

    Raises
    ------
    Inexpressible
        When optax has no such rule, or cannot express its options.
    """
    optax_row = row(case.rule).optax
    if optax_row is None:
        raise Inexpressible(f"optax has no {case.rule}")
    rule = rule_of(case)
    with jax.enable_x64(case.dtype == "float64"):
        hyper = rule.hyper(**case.numbers)
        moving = moving_numbers(case, hyper)
        if set(moving) != {"lr"}:
            raise Inexpressible(f"optax schedules the lr alone, not {', '.join(sorted(set(moving) - {'lr'}))}")
        lrs = jnp.asarray(moving["lr"], numbers_in(case.dtype))
        params = {name: jnp.asarray(value) for name, value in case.first_params().items()}
        grads = {name: jnp.asarray(value) for name, value in case.gradients().items()}
        forced = None if reference is None else _forcing(reference, optax_row.state, params)
        history = _run(case, tuple(rule.options.items()), hyper._asdict(), lrs, params, grads, forced)
        param_history, kept = jax.tree.map(np.asarray, history)
    states: list[Snapshot] = [{name: {} for name in params}]
    for step in range(case.steps):
        states.append({name: {ours: values[name][step] for ours, values in kept.items()} for name in params})
    return Trajectory(
        "optax",
        {name: np.concatenate([np.asarray(params[name])[None], value]) for name, value in param_history.items()},
        states,
        np.asarray(lrs),
    )


#: Rules and options whose factories look at a number, so that all of them must be constants.
_LOOKED_AT: set[tuple[str, Any]] = set()


def _run(case: Case, options: tuple[tuple[str, Any], ...], numbers: Mapping[str, Any], *data: Any) -> Any:
    """The run, by a program that takes the numbers at the call where that makes no difference.

    In float64 a number that is an input gives what a constant gives, and one program serves many; in float32 it does
    not, as optax forms 1 − b2 of a constant in Python's doubles. A number that is 0 stays a constant, since factories
    leave things out for it.
    """
    key = (case.rule, options)
    if case.dtype == "float64" and key not in _LOOKED_AT:
        constants = tuple((name, value) for name, value in numbers.items() if not value)
        try:
            return _program(*key, constants)({k: v for k, v in numbers.items() if v}, *data)
        except jax.errors.ConcretizationTypeError:
            _LOOKED_AT.add(key)
    return _program(*key, tuple(numbers.items()))({}, *data)


@functools.cache
def _program(rule: str, options: tuple[tuple[str, Any], ...], constants: tuple[tuple[str, float], ...]) -> Any:
    """The compiled run of one optimizer, whatever its lr does: ``run(numbers, lrs, params, grads, forced)``."""
    import optax

    optax_row = row(rule).optax
    assert optax_row is not None

    @jax.jit
    def run(numbers: Any, lrs: Any, params: Any, grads: Any, forced: Any) -> Any:
        optimizer = optax_row.build(dict(options), dict(constants) | numbers, lambda count: lrs[count])

        def step(carry: Any, now: Any) -> Any:
            params, state = carry
            grads, forced = now
            if forced is not None:
                params, values = forced
                state = optax.tree.set(state, **values)
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            kept = {}
            for ours, theirs in optax_row.state.items():
                found = optax.tree.get_all_with_path(state, theirs)
                if found:
                    kept[ours] = _per_tensor(found[0][1], params)
            return (params, state), (params, kept)

        return lax.scan(step, (params, optimizer.init(params)), (grads, forced))[1]

    return run


def _per_tensor(value: Any, params: Any) -> Any:
    """A state field by tensor name; a count that optax keeps once stands for every tensor."""
    return value if isinstance(value, dict) else {name: value for name in params}


def _forcing(reference: Trajectory, fields: Mapping[str, str], params: Any) -> Any:
    values = {}
    for ours, theirs in fields.items():
        if ours in ONCE or not all(ours in reference.states[-1].get(name, {}) for name in params):
            continue
        values[theirs] = {
            name: jnp.asarray(
                np.stack(
                    [
                        np.asarray(s.get(name, {}).get(ours, np.zeros(np.shape(params[name]))))
                        for s in reference.states[:-1]
                    ]
                )
            )
            for name in params
        }
    return {name: jnp.asarray(value[:-1]) for name, value in reference.params.items()}, values
