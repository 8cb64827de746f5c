"""Replay in lrtheory, one operation at a time, as a step outside ``jit`` runs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory.rules import SparseGradient

from ..cases import Case
from ..trajectory import Trajectory
from .ours import inputs, rule_of, snapshot, trajectory


def replay(case: Case, *, reference: Trajectory | None = None) -> Trajectory:
    """One run; with ``reference``, parameters and state are set to the reference's before every step."""
    rule = rule_of(case)
    with jax.enable_x64(case.dtype == "float64"):
        given = inputs(case, rule, reference)
        params, state = given.params, given.state
        history, states = [], []
        for step in range(case.steps):
            numbers, grads, (params_now, fields_now) = jax.tree.map(
                lambda values, step=step: values[step], (given.numbers, given.grads, given.forced)
            )
            if rule.array_rule.sparse:
                grads = {name: SparseGradient.from_dense(g) for name, g in grads.items()}
            if reference is not None:
                params, state = params_now, state._replace(**fields_now)
            hyper = given.hyper._replace(**{name: jnp.asarray(value) for name, value in numbers.items()})
            params, state = rule.step(hyper, params, state, grads)
            history.append({name: np.asarray(value) for name, value in params.items()})
            states.append(snapshot(state))
    stacked = {name: np.stack([values[name] for values in history]) for name in given.params}
    return trajectory("lrtheory eager", given, stacked, states)
