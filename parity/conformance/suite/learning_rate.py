"""The lr: zero stops, a change acts at once, and every way to schedule it is the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import Path, close, demand, same
from ..outcome import Skip
from ..registry import register
from ..runs import Run, standard
from ..targets import Target, follow


@register("lr-zero", "With an lr of 0 nothing moves.", examples=4)
def lr_zero(target: Target, run: Run) -> None:
    """The first step of many a warm-up."""
    path = follow(target, run, moving=True, lrs=0 * run.lrs)
    same(path, {n: np.broadcast_to(v[:1], v.shape) for n, v in path.items()}, "with an lr of 0 parameters move")


@register(
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
    same(plain.only(plain, before), other.only(other, before), f"an lr that changes at step {at + 1} acts before it")
    # A step that is lost in rounding, or that is 0, shows nothing.
    seen = [n for n, v in plain.items() if np.any(np.abs(v[at + 1] - v[at]) > 1e-12 * np.abs(v[at]))]
    if seen:
        differs = any(np.any(plain[n][at + 1] != other[n][at + 1]) for n in seen)
        demand(differs, f"twice the lr at step {at + 1} gives the same step")
    if target.kind == "torch" and run.code() == standard(target.shapes).code():
        same(plain, _with_scheduler(target, run), "LambdaLR and an lr set by hand differ")


def _with_scheduler(target: Any, run: Run) -> Path:
    import torch

    session = target.start(run.params)
    scheduler = torch.optim.lr_scheduler.LambdaLR(session.optimizer, lambda count: float(run.lrs[count]))
    history = [session.params()]
    for step in range(run.steps):
        session.step(run.at(step))
        history.append(session.params())
        if step + 1 < run.steps:
            scheduler.step()
    return Path.of(history)


@register(
    "injected-lr",
    "A schedule given to the factory and the same lr set in the state of optax.inject_hyperparams agree to rounding.",
    kinds=("jax",),
)
def injected(target: Any) -> None:
    """The lr alone is injected: optax turns other numbers into arrays, which shifts trajectories."""
    from ..targets.jax_target import OptaxTarget, as_tree

    if not isinstance(target, OptaxTarget):
        raise Skip("a rule takes its lr with every step")
    if target.is_instance or target.rate is None or target.lr is None:
        raise Skip("its lr is inside: give the factory, and its lr can be moved")
    import inspect

    import jax
    import jax.numpy as jnp
    import optax

    run = standard(target.shapes)
    others = [name for name in inspect.signature(target.made).parameters if name != target.rate]
    transformation = optax.inject_hyperparams(target.made, static_args=others)(**target.given)
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
    found = Path.of(history)
    close(follow(target, run, moving=True), found, "a schedule and inject_hyperparams differ")
