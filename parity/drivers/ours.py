"""Replay in lrtheory: the whole run as one compiled scan, or one operation at a time, as a step outside ``jit`` runs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lrtheory import rules
from lrtheory.rules import Rule, SparseGradient

from ..cases import Case
from ..dtypes import numbers_in
from ..table import Inexpressible, row
from ..trajectory import Snapshot, Trajectory


def rule_of(case: Case) -> Rule:
    """The case's rule with its options."""
    return rules.get(case.rule)(**case.options)


def as_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """By tensor name, in JAX."""
    return {name: jnp.asarray(value) for name, value in values.items()}


def replay(
    case: Case, *, reference: Trajectory | None = None, rule: Rule | None = None, eager: bool = False
) -> Trajectory:
    """One run; with ``reference``, parameters and state are set to the reference's before every step."""
    rule = rule or rule_of(case)
    with jax.enable_x64(case.dtype == "float64"):
        given = _inputs(case, rule, reference)
        if eager:
            history, states = _stepped(rule, given, case.steps, is_forced=reference is not None)
        else:
            history, kept = jax.tree.map(np.asarray, _run(rule, reference is not None, *given))
            states = [_snapshot(kept, step) for step in range(case.steps)]
    name = "lrtheory eager" if eager else "lrtheory"
    return framed(name, given.params, history, [_snapshot(given.state), *states], given.numbers["lr"])


class _Inputs(NamedTuple):
    """What a run starts from, and what each step is given."""

    hyper: Any
    numbers: dict[str, Any]
    state: Any
    params: dict[str, Any]
    grads: dict[str, Any]
    forced: Any


def _inputs(case: Case, rule: Rule, reference: Trajectory | None) -> _Inputs:
    hyper = rule.hyper(**case.numbers)
    params, grads = as_arrays(case.first_params()), as_arrays(case.gradients())
    state = rule.init(params)
    forced = _forcing(rule, case.steps, params, state, reference)
    return _Inputs(hyper, case.schedule.moving(hyper, case.steps), state, params, grads, forced)


def moving_lr(case: Case, hyper: Any, framework: str) -> Any:
    """The lr of every step, for a framework that schedules the lr alone.

    Raises
    ------
    Inexpressible
        When the schedule moves another number too.
    """
    moving = case.schedule.moving(hyper, case.steps)
    if set(moving) != {"lr"}:
        raise Inexpressible(f"{framework} schedules the lr alone, not {', '.join(sorted(set(moving) - {'lr'}))}")
    return jnp.asarray(moving["lr"], numbers_in(case.dtype))


def framed(name: str, first: Any, history: Any, states: list[Snapshot], lrs: Any) -> Trajectory:
    """A run with the parameters that it started from."""
    params = {tensor: np.concatenate([np.asarray(first[tensor])[None], value]) for tensor, value in history.items()}
    return Trajectory(name, params, states, np.asarray(lrs))


def by_step(kept: Any, steps: int) -> list[Snapshot]:
    """State fields by tensor, stacked over the steps of one program, at each of them; none before the first."""
    after = [
        {tensor: {field: values[step] for field, values in fields.items()} for tensor, fields in kept.items()}
        for step in range(steps)
    ]
    return [{tensor: {} for tensor in kept}, *after]


@functools.partial(jax.jit, static_argnums=0)
def _run(rule: Rule, is_forced: Any, hyper: Any, numbers: Any, state: Any, params: Any, grads: Any, forced: Any) -> Any:
    """The run; ``is_forced`` is traced, so that free and forced replay are one program."""

    def step(carry: Any, now: Any) -> Any:
        params, state = carry
        numbers, grads, (forced_params, forced_fields) = now
        own_fields = {name: getattr(state, name) for name in forced_fields}
        params, fields = jax.tree.map(
            lambda theirs, ours: jnp.where(is_forced, theirs, ours),
            (forced_params, forced_fields),
            (params, own_fields),
        )
        params, state = rule.step(hyper._replace(**numbers), params, state._replace(**fields), _as_given(rule, grads))
        return (params, state), (params, state)

    return lax.scan(step, (params, state), (numbers, grads, forced))[1]


def _stepped(
    rule: Rule, given: _Inputs, steps: int, *, is_forced: bool
) -> tuple[dict[str, np.ndarray], list[Snapshot]]:
    """The run outside of any program."""
    params, state, history, states = given.params, given.state, [], []
    for step in range(steps):
        numbers, grads, (params_now, fields_now) = jax.tree.map(
            lambda values, step=step: values[step], (given.numbers, given.grads, given.forced)
        )
        if is_forced:
            params, state = params_now, state._replace(**fields_now)
        hyper = given.hyper._replace(**{name: jnp.asarray(value) for name, value in numbers.items()})
        params, state = rule.step(hyper, params, state, _as_given(rule, grads))
        history.append({name: np.asarray(value) for name, value in params.items()})
        states.append(_snapshot(state))
    return {name: np.stack([values[name] for values in history]) for name in given.params}, states


def _as_given(rule: Rule, grads: dict[str, Any]) -> dict[str, Any]:
    """Gradients as the rule takes them."""
    return {name: SparseGradient.from_dense(g) for name, g in grads.items()} if rule.array_rule.sparse else grads


def _forcing(rule: Rule, steps: int, params: Any, state: Any, reference: Trajectory | None) -> Any:
    """Parameters and state fields to start each step from: the initial ones throughout without a reference.

    A field the reference does not keep (a weight sum, say) goes on by itself: it has no part in the update. One that
    it starts to keep at its first step is zero before.
    """
    own = row(rule)
    elsewhere = own.torch.state if own.torch else own.optax or ()
    fields = [f for f in rule.State._fields if getattr(state, f) is not None and f in elsewhere]
    if reference is None:
        constant = {f: getattr(state, f) for f in fields}
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (steps, *x.shape)), (params, constant))
    forced = {}
    for field in fields:
        initial = getattr(state, field)
        forced[field] = {
            name: None
            if initial[name] is None
            else jnp.asarray(
                np.stack([np.asarray(s.get(name, {}).get(field, initial[name])) for s in reference.states[:-1]]),
                initial[name].dtype,
            )
            for name in params
        }
    return {name: jnp.asarray(value[:-1]) for name, value in reference.params.items()}, forced


def _snapshot(state: Any, step: int | None = None) -> Snapshot:
    """State fields by tensor name, at one step of a stacked history."""
    fields = {name: column for name, column in zip(state._fields, state, strict=True) if column is not None}
    tensors = next(iter(fields.values()))
    return {
        tensor: {
            name: np.asarray(column[tensor] if step is None else column[tensor][step])
            for name, column in fields.items()
            if column[tensor] is not None
        }
        for tensor in tensors
    }
