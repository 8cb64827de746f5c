"""The lr: zero stops, a change acts at once, and every way to schedule it is the same."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..comparing import Walk, close, demand, same
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow
from ..targets.jax_target import OptaxTarget, as_tree


@a_check("lr-zero", "With an lr of 0 nothing moves.", examples=4)
def lr_zero(target: Target, run: Run) -> None:
    """The first step of many a warm-up."""
    walk = follow(target, run, moving=True, lrs=0 * run.lrs)
    same(walk, walk.standing(), "with an lr of 0 parameters move")


@a_check(
    "schedule",
    "An lr that is changed between two steps (param_groups, or a schedule) acts on the very next step, and on none "
    "before it; torch's LambdaLR is the same as setting it by hand.",
    examples=8,
)
def schedule(target: Target, run: Run) -> None:
    """Catches an lr that is read once, and one that acts a step late."""
    at = 4
    changed = run.lrs.copy()
    changed[at] *= 2
    plain, other = follow(target, run, moving=True), follow(target, run, moving=True, lrs=changed)
    before = slice(at + 1)
    same(other.only(other, before), plain.only(plain, before), f"an lr that changes at step {at + 1} acts before it")
    # A step that is lost in rounding, or that is 0, shows nothing.
    seen = [n for n, v in plain.items() if np.any(np.abs(v[at + 1] - v[at]) > 1e-12 * np.abs(v[at]))]
    if seen:
        differs = any(np.any(plain[n][at + 1] != other[n][at + 1]) for n in seen)
        demand(differs, f"twice the lr at step {at + 1} gives the same step")
    if target.kind == "torch" and run.code() == standard(target.shapes).code():
        same(_with_scheduler(target, run), plain, "LambdaLR and an lr set by hand differ")


def _with_scheduler(target: Any, run: Run) -> Walk:
    import torch

    session = target.start(run.params)
    scheduler = torch.optim.lr_scheduler.LambdaLR(session.optimizer, lambda count: float(run.lrs[count]))
    history = [session.params()]
    for step in range(run.steps):
        session.step(run.at(step))
        history.append(session.params())
        if step + 1 < run.steps:
            scheduler.step()
    return Walk.of(history)


@a_check(
    "injected-lr",
    "A schedule given to the factory and the same lr set in the state of optax.inject_hyperparams agree to rounding.",
    kinds=("jax",),
)
def injected(target: Any) -> None:
    """The lr alone is injected: optax turns other numbers into arrays, which shifts trajectories."""
    if not isinstance(target, OptaxTarget):
        raise Skip("a rule takes its lr with every step")
    if target.is_instance or target.rate is None or target.lr is None:
        raise Skip("its lr is inside: give the factory, and its lr can be moved")
    import optax

    run = standard(target.shapes)
    others = [name for name in inspect.signature(target.make).parameters if name != target.rate]
    transformation = optax.inject_hyperparams(target.make, static_args=others)(**target.given)
    params = as_tree(run.params)
    state: Any = transformation.init(params)

    @jax.jit
    def step(grads: Any, state: Any, params: Any) -> Any:
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    history = [params]
    for number in range(run.steps):
        state.hyperparams[target.rate] = jnp.asarray(target.lr * run.lrs[number])
        params, state = step(as_tree(run.at(number)), state, params)
        history.append(params)
    close(Walk.of(history), follow(target, run, moving=True), "inject_hyperparams and a schedule differ")
