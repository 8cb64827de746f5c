"""Gradients that are zero, huge, tiny or no numbers, and gradients that were added up from parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compare import alike
from ..comparing import demand, finite, same, stands
from ..outcome import Note, a_check
from ..runs import Run, standard
from ..targets import Target, follow, going_on, walked
from .purity import given_gradients


@a_check(
    "zero-gradient",
    "With zero gradients everything stays finite, also once other gradients follow; parameters at zero stay there.",
    examples=8,
)
def zero_gradient(target: Target, run: Run) -> None:
    """Catches a division by a root that is 0."""
    nothing = {name: np.zeros_like(value) for name, value in run.grads.items()}
    finite(follow(target, run, grads=nothing), "zero gradients give")
    later = {name: np.concatenate([nothing[name][:3], value[:-3]]) for name, value in run.grads.items()}
    finite(follow(target, run, grads=later), "gradients after three zero ones give")
    at_zero = {name: np.zeros_like(value) for name, value in run.params.items()}
    walk = follow(target, run, grads=nothing, params=at_zero)
    stands(walk, "zero gradients move parameters that are zero")


@a_check(
    "at-rest",
    "A fresh optimizer does not move at zero gradients, weight decay aside, which is set to 0 where it is an argument; where "
    "it is inside, parameters may come nearer to 0.",
)
def at_rest(target: Target) -> None:
    """Catches a state that starts from something else than zeros."""
    run = standard(target.shapes)
    nothing = run.with_(grads={name: np.zeros_like(value) for name, value in run.grads.items()})
    walk = going_on(target.undecayed(run.params), nothing, range(run.steps))
    cause = "zero gradients move a fresh optimizer"
    if target.decays_inside:
        for value in walk.values():
            demand(np.all(np.diff(np.abs(value), axis=0) <= 0), f"{cause} away from 0")
    else:
        stands(walk, cause)


@a_check(
    "descent",
    "Under a constant gradient every tensor moves against it: with it if it maximizes. What weight decay adds is the same for "
    "a gradient and its negative, and left out.",
)
def descent(target: Target) -> None:
    """Catches a minus that was forgotten, for all tensors or for those that a mask leaves out."""
    run, draws = standard(target.shapes), standard(target.shapes, seed=1)
    streams = {
        "a gradient of ones": {n: np.ones_like(g) for n, g in run.grads.items()},
        "a constant gradient": {n: np.broadcast_to(draws.params[n], g.shape) for n, g in run.grads.items()},
    }
    for what, grads in streams.items():
        plus, minus = (follow(target, run, grads={n: sign * g for n, g in grads.items()}) for sign in (1.0, -1.0))
        for name, g in grads.items():
            along = float(np.sum((plus[name][-1] - minus[name][-1]) * g[-1])) / 2
            told = f"{what} moves {name} along it, by {along / np.sum(g[-1] ** 2):.3g} of it in {run.steps} steps"
            if target.is_part and along > 0:
                raise Note(f"{told}: it is a part, which leaves the minus to optax.scale_by_learning_rate")
            demand(along <= 0 if not target.maximizes else along >= 0, f"{told}: is a minus missing?")


@a_check(
    "finite",
    "Every step is finite for bounded gradients of any size from 1e-15 to 1e15.",
)
def is_finite(target: Target) -> None:
    """Squares of these neither over- nor underflow, in float32 and bfloat16 either."""
    for run in (standard(target.shapes), standard(target.shapes, seed=1)):
        for size in (1e-15, 1e-8, 1.0, 1e8, 1e15):
            largest = max(np.max(np.abs(g)) for g in run.grads.values())
            finite(follow(target, run.scaled(grads=size / largest)), f"gradients of at most {size:g} give")


@a_check(
    "non-finite",
    "A nan or an infinity in one coordinate of the gradient reaches no coordinate that a finite change there does not "
    "reach, and raises nothing.",
    examples=4,
)
def non_finite(target: Target, run: Run) -> None:
    """What a rule couples is found out with finite numbers: nothing (Adam), a tensor (LAMB) or all (clipping)."""
    name = next(iter(run.shapes))
    place = (3, *[0] * len(run.shapes[name]))
    plain = follow(target, run)
    if not all(np.all(np.isfinite(value)) for value in plain.values()):
        return  # zeros can do that, which the check zero-gradient says
    coupled = {n: np.zeros(shape, bool) for n, shape in run.shapes.items()}
    for other in (run, standard(target.shapes)):  # a drawn run may hide a coupling behind zeros
        largest = max(1.0, *(float(np.max(np.abs(g), initial=0)) for g in other.grads.values()))
        start = follow(target, other)
        for value in (1e6, -1e6, 2.0, -2.0):
            walk = follow(target, _with_entry(other, name, place, value * largest))
            coupled = {n: coupled[n] | _differs(start[n], walk[n]) for n in coupled}
    for bad in (np.nan, np.inf):
        walk = follow(target, _with_entry(run, name, place, bad))
        for n in plain:
            beyond = np.argwhere(_differs(plain[n], walk[n]) & ~coupled[n])
            where = f"{n}{[int(i) for i in beyond[0]]}" if len(beyond) else ""
            if len(beyond) and _counts_not_finite(target, run):
                raise Note("where a gradient is not finite it skips the step of all tensors, and counts that")
            demand(not len(beyond), f"{bad} in the gradient of {name}{list(place[1:])} reaches {where}")


def _counts_not_finite(target: Target, run: Run) -> bool:
    """Whether its state says so, as that of optax.apply_if_finite does, and of optax.skip_not_finite."""
    return any("notfinite" in path.replace("_", "") for path in target.start(run.params).state())


def _with_entry(run: Run, name: str, place: tuple[int, ...], value: float) -> Run:
    changed = {n: np.array(g) for n, g in run.grads.items()}
    changed[name][place] = value
    return run.with_(grads=changed)


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.any(~alike(a, b), axis=0)


@a_check(
    "gradient-only",
    "The step depends on the gradient alone: one added up in place from the parts of a batch, in a buffer that is used "
    "again, moves the parameters bitwise as the same gradient in a tensor of its own.",
    examples=8,
)
def gradient_only(target: Target, run: Run) -> None:
    """How a batch is reduced is the caller's; catches a state that keeps the gradient's own memory."""
    given_gradients(target)
    expected = follow(target, run)
    session: Any = target.start(run.params)
    walk = walked(session, range(run.steps), lambda step: _accumulated(target, session, run.at(step)))
    same(walk, expected, "a gradient added up from two halves moves otherwise than the same gradient at once")


def _accumulated(target: Any, session: Any, grads: Any) -> None:
    if target.kind == "jax":
        session.step({name: np.asarray(g) / 2 + np.asarray(g) / 2 for name, g in grads.items()})
        return
    if target.sparse:
        session.step(grads)
        return
    for _ in range(target.calls):
        session.optimizer.zero_grad(set_to_none=False)
        session.begin(grads)
        for _ in range(2):
            session.loss(0.5).backward(create_graph=target.form.graph)
        session.run_step()
