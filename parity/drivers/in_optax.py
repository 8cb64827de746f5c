"""Replay in optax: the whole run as one compiled scan."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lrtheory.names.optax import ONCE
from lrtheory.port.counterparts import NoCounterpartError, in_optax
from lrtheory.rules import Rule

from ..cases import Case
from ..table import Inexpressible, Numbers, row
from ..trajectory import Trajectory
from .ours import as_arrays, by_step, framed, moving_lr, rule_of


def build(rule: Rule, numbers: Numbers, lr: Any) -> Any:
    """Optax's counterpart of a rule, refused with the reason where it has none; ``lr`` is its schedule."""
    import optax

    try:
        parts = in_optax(rule, numbers, lr, strict=False)
    except NoCounterpartError as error:
        raise Inexpressible(str(error)) from error
    return optax.chain(*([optax.scale(-1.0)] if rule.options.get("maximize") else []), *(part.make() for part in parts))


def replay(case: Case, *, reference: Trajectory | None = None) -> Trajectory:
    """One run; with ``reference``, parameters and moments are set to the reference's before every step.

    Raises
    ------
    Inexpressible
        When optax has no such rule, or cannot express its options.
    """
    state = row(case.rule).optax
    if state is None:
        raise Inexpressible(f"optax has no {case.rule}")
    rule = rule_of(case)
    with jax.enable_x64(case.dtype == "float64"):
        hyper = rule.hyper(**case.numbers)
        lrs = moving_lr(case, hyper, "optax")
        params, grads = as_arrays(case.first_params()), as_arrays(case.gradients())
        forced = None if reference is None else _forcing(reference, state, params)
        run = _run(case, rule, hyper._asdict(), lrs, params, grads, forced)
        history, kept = jax.tree.map(np.asarray, run)
    by_tensor = {name: {field: values[name] for field, values in kept.items()} for name in params}
    return framed("optax", params, history, by_step(by_tensor, case.steps), lrs)


#: Rules whose factories look at a number, so that all of them must be constants.
_LOOKED_AT: set[Rule] = set()


def _run(case: Case, rule: Rule, numbers: Mapping[str, Any], *data: Any) -> Any:
    """Run with traced hyperparameters where the result does not change.

    In float64 a number that is an input gives what a constant gives, and one program serves many; in float32 it does
    not, as optax forms 1 − b2 of a constant in Python's doubles. A number that is 0 stays a constant, since factories
    leave things out for it.
    """
    if case.dtype == "float64" and rule not in _LOOKED_AT:
        constants = tuple((name, value) for name, value in numbers.items() if not value)
        try:
            return _program(rule, constants)({k: v for k, v in numbers.items() if v}, *data)
        except jax.errors.ConcretizationTypeError:
            _LOOKED_AT.add(rule)
    return _program(rule, tuple(numbers.items()))({}, *data)


@functools.cache
def _program(rule: Rule, constants: tuple[tuple[str, float], ...]) -> Any:
    """The compiled run of one optimizer, whatever its lr does: ``run(numbers, lrs, params, grads, forced)``."""
    import optax

    fields = row(rule).optax or {}

    @jax.jit
    def run(numbers: Any, lrs: Any, params: Any, grads: Any, forced: Any) -> Any:
        optimizer = build(rule, dict(constants) | numbers, lambda count: lrs[count])

        def step(carry: Any, now: Any) -> Any:
            params, state = carry
            grads, forced = now
            if forced is not None:
                params, values = forced
                state = optax.tree.set(state, **values)
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            kept = {}
            for ours, theirs in fields.items():
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
    """Parameters and state fields at each step: zeros before a field is kept, and none of what is kept once."""

    def values(tensor: str, field: str) -> Any:
        zeros = np.zeros(np.shape(params[tensor]))
        return jnp.asarray(np.stack([np.asarray(s.get(tensor, {}).get(field, zeros)) for s in reference.states[:-1]]))

    forced = {
        theirs: {name: values(name, ours) for name in params}
        for ours, theirs in fields.items()
        if ours not in ONCE and all(ours in reference.states[-1].get(name, {}) for name in params)
    }
    return {name: jnp.asarray(value[:-1]) for name, value in reference.params.items()}, forced
