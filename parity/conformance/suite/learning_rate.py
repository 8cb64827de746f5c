"""The lr: zero stops, a change acts at once, and every way to schedule it is the same."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..comparing import Walk, close, demand, same, stands
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow, walked
from ..targets.jax_target import OptaxTarget, as_tree
from ..targets.target import RATES


@a_check("lr-zero", "With an lr of 0 nothing moves.", examples=4)
def lr_zero(target: Target, run: Run) -> None:
    """The first step of many a warm-up."""
    stands(follow(target, run, moving=True, lrs=0 * run.lrs), "with an lr of 0 parameters move")


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

    def act(step: int) -> None:
        if step:
            scheduler.step()
        session.step(run.at(step))

    return walked(session, range(run.steps), act)


@a_check(
    "injected-lr",
    "A schedule given to the factory and the same lr set in the state of optax.inject_hyperparams agree to rounding; where "
    "the factory injects by itself, in the state that it has.",
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
    functions, rate = target.functions(), target.rate
    params = as_tree(run.params)
    state: Any = functions.init(params)
    if not _lrs_in(state):
        others = [name for name in inspect.signature(target.make).parameters if name != rate]
        functions = target.functions_of(optax.inject_hyperparams(target.make, static_args=others)(**target.given))
        state = functions.init(params)
    step = jax.jit(functions.step)
    history = [params]
    for number in range(run.steps):
        state = _with_lr(state, jnp.asarray(target.lr * run.lrs[number]))
        params, state = step(params, state, target.gradients(as_tree(run.at(number))))
        history.append(params)
    close(Walk.of(history), follow(target, run, moving=True), "inject_hyperparams and a schedule differ")


def _injects(node: Any) -> bool:
    return isinstance(getattr(node, "hyperparams", None), dict)


def _lrs_in(state: Any) -> list[str]:
    """Names of the lr in every state of optax.inject_hyperparams that there is."""
    nodes = [node for node in jax.tree.leaves(state, is_leaf=_injects) if _injects(node)]
    return [name for node in nodes for name in RATES if name in node.hyperparams]


def _with_lr(state: Any, lr: Any) -> Any:
    def one(node: Any) -> Any:
        if not _injects(node):
            return node
        set_to = {
            name: lr.astype(jnp.asarray(value).dtype) for name, value in node.hyperparams.items() if name in RATES
        }
        return node._replace(hyperparams={**node.hyperparams, **set_to})

    return jax.tree.map(one, state, is_leaf=_injects)
