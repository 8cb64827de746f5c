"""Nothing but gradients, state and parameters goes in, and nothing but new ones comes out."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import jax
import numpy as np

from .. import settings, worker
from ..comparing import demand, moved, same
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow, walked
from ..targets.jax_target import as_saved, leaves


@a_check("first-step", "It can be made, and takes a first step on tensors of ones.")
def first_step(target: Target) -> None:
    """What all other checks need."""
    demand(not target.trouble, target.trouble)


@a_check(
    "deterministic",
    "Two fresh optimizers given the same gradients move bitwise alike, and they do move.",
    examples=8,
)
def deterministic(target: Target, run: Run) -> None:
    """Catches noise from a generator that is not part of the state, and state that outlives the optimizer."""
    first = follow(target, run)
    same(follow(target, run), first, "a second run from the same start differs")
    if run.code() == standard(target.shapes).code():
        moved(first)


@a_check(
    "isolated",
    "An optimizer that steps in turn with another one moves as it does alone.",
)
def isolated(target: Target) -> None:
    """Catches state that is shared between optimizers."""
    run, other = standard(target.shapes), standard(target.shapes, seed=1)
    alone = follow(target, run)
    one, two = target.start(run.params), target.start(other.params)
    beside = walked(one, range(run.steps), lambda step: (two.step(other.at(step)), one.step(run.at(step))))
    same(beside, alone, "beside another optimizer it moves differently")


@a_check(
    "inputs",
    "The arrays and tensors that are given as gradients, and for JAX as parameters and state, are the same afterwards.",
)
def inputs(target: Target) -> None:
    """A gradient that was scaled in place spoils what else is done with it."""
    run = standard(target.shapes)
    if target.kind == "jax":
        _inputs_of_jax(target, run)
        return
    given_gradients(target)
    session: Any = target.start(run.params)
    for step in range(3):
        session.give(run.at(step))
        kept = {n: p.grad for n, p in session.tensors.items()}
        before = {n: _dense(g) for n, g in kept.items()}
        session.run_step()
        same({n: _dense(g) for n, g in kept.items()}, before, "a step changes the gradients it is given")


def given_gradients(target: Any) -> None:
    """Skip what looks at them where none are."""
    if not target.takes_gradients:
        raise Skip("it differentiates the loss itself: no gradients are given to it")


def _inputs_of_jax(target: Any, run: Run) -> None:
    functions = target.functions()
    params = {name: np.array(value) for name, value in run.params.items()}
    state = jax.tree.map(_writable, functions.init(params))
    for step in range(2):
        grads = {name: np.array(value) for name, value in run.at(step).items()}
        given = {"gradients": grads, "parameters": params, "state": state}
        before = {what: leaves(tree) for what, tree in given.items()}
        after, new_state = functions.step(params, state, target.gradients(grads))
        for what, tree in given.items():
            same(leaves(tree), before[what], f"an update changes the {what} it is given")
        params, state = jax.tree.map(_writable, (after, new_state))


def _writable(leaf: Any) -> Any:
    """An array in NumPy, which could be changed; a key of random numbers stays what it is."""
    saved = as_saved(leaf)
    return saved if isinstance(saved, np.ndarray) else leaf


def _dense(gradient: Any) -> np.ndarray:
    return np.array((gradient.to_dense() if gradient.is_sparse else gradient).detach().double().numpy())


@a_check("quiet", "Making the optimizer and stepping print nothing, to stdout or stderr.")
def quiet(target: Target) -> None:
    """Printed words get between those of the program."""
    out, err, started = io.StringIO(), io.StringIO(), worker.printed()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        _plainly(target)
    past_python = worker.printed()[len(started) :]  # as code in C prints
    for where, text in (("stdout", out.getvalue()), ("stderr", err.getvalue()), ("its output", past_python)):
        demand(not text, f"prints {(text.strip().splitlines() or ['an empty line'])[0][:60]!r} to {where}")


@a_check(
    "global-state",
    "Making the optimizer and stepping leave what is global as it was: the random generators of Python, NumPy and torch; "
    "torch's default dtype and device, threads, deterministic algorithms and recording of gradients; NumPy's handling of "
    "errors, JAX's settings, the flushing of tiny numbers.",
)
def global_state(target: Target) -> None:
    """What else draws random numbers must draw the same ones with and without this optimizer."""
    for change in target.changes:
        demand(False, f"made and stepped for the first time it {change}")
    with settings.put_back() as before:
        _plainly(target)
        changes = settings.changed(before)
    demand(not changes, "; ".join(changes))


def _plainly(target: Any) -> None:
    """Two steps as a user takes them, uncompiled."""
    run = standard(target.shapes)
    if target.kind == "jax":
        target.eagerly(run, steps=2)
        jax.effects_barrier()
        return
    session = target.start(run.params)
    for step in range(2):
        session.step(run.at(step))
