"""Gradients that are zero, huge, tiny or no numbers, and gradients that were added up from parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import demand, finite, same
from ..registry import register
from ..runs import Run, standard
from ..targets import Target, follow


@register(
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
    path = follow(target, run, grads=nothing, params=at_zero)
    same(path, {n: np.zeros_like(v) for n, v in path.items()}, "zero gradients move parameters that are zero")


@register(
    "finite",
    "Every step is finite for bounded gradients of any size from 1e-100 to 1e100 (in float64).",
)
def is_finite(target: Target) -> None:
    """Squares of these neither over- nor underflow."""
    for run in (standard(target.shapes), standard(target.shapes, seed=1)):
        for size in (1e-100, 1e-12, 1.0, 1e12, 1e100):
            largest = max(np.max(np.abs(g)) for g in run.grads.values())
            finite(follow(target, run.scaled(grads=size / largest)), f"gradients of at most {size:g} give")


@register(
    "non-finite",
    "A nan or an infinity in one coordinate of the gradient reaches no coordinate that a finite change there does not "
    "reach, and raises nothing.",
    examples=4,
)
def non_finite(target: Target, run: Run) -> None:
    """What a rule couples is found out with finite numbers: nothing (Adam), a tensor (LAMB) or all (clipping)."""
    plain = follow(target, run)
    finite(plain, "finite gradients give")
    name = next(iter(run.shapes))
    place = (3, *[0] * len(run.shapes[name]))

    def with_entry(value: float) -> dict[str, np.ndarray]:
        changed = {n: np.array(g) for n, g in run.grads.items()}
        changed[name][place] = value
        return follow(target, run, grads=changed)

    largest = max(1.0, *(float(np.max(np.abs(g), initial=0)) for g in run.grads.values()))
    paths = [with_entry(value * largest) for value in (1e6, -1e6, 2.0, -2.0)]
    coupled = {n: np.any([_differs(plain[n], path[n]) for path in paths], axis=0) for n in plain}
    for bad in (np.nan, np.inf):
        path = with_entry(bad)
        for n in plain:
            beyond = np.argwhere(_differs(plain[n], path[n]) & ~coupled[n])
            where = f"{n}{[int(i) for i in beyond[0]]}" if len(beyond) else ""
            demand(not len(beyond), f"{bad} in the gradient of {name}{list(place[1:])} reaches {where}")


def _differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.any(~((a == b) | ((a != a) & (b != b))), axis=0)


@register(
    "gradient-only",
    "The step depends on the gradient alone: one added up in place from the parts of a batch, in a buffer that is used "
    "again, moves the parameters bitwise as the same gradient in a tensor of its own.",
    examples=8,
)
def gradient_only(target: Target, run: Run) -> None:
    """How a batch is reduced is the caller's; catches a state that keeps the gradient's own memory."""
    expected = follow(target, run)
    session: Any = target.start(run.params)
    history = [session.params()]
    for step in range(run.steps):
        _accumulated(target, session, run.at(step))
        history.append(session.params())
    found = {n: np.stack([p[n] for p in history]) for n in history[0]}
    same(expected, found, "a gradient added up from two halves moves otherwise than the same gradient at once")


def _accumulated(target: Any, session: Any, grads: Any) -> None:
    if target.kind == "jax":
        session.step({name: np.asarray(g) / 2 + np.asarray(g) / 2 for name, g in grads.items()})
        return
    import torch

    if target.sparse:
        session.step(grads)
        return
    session.optimizer.zero_grad(set_to_none=False)
    for _ in range(2):
        halves = [(p * torch.tensor(np.asarray(grads[n]) / 2)).sum() for n, p in session.tensors.items()]
        torch.stack(halves).sum().backward()
    session.run_step()
