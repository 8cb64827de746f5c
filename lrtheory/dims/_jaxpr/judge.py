"""A law tried in numbers: the program itself, run in float64 on a problem and on the same problem rescaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...compiling import quickly_compiled
from ...units import GRADIENT, PURE, Units
from .._verdict import disagreement, trials
from ..dimensions import Dimensions

if TYPE_CHECKING:
    from .program import Program

STEPS = 8


class Evidence(NamedTuple):
    """What a run says that does not obey the units found, ``None`` where all do; and whether any update was not 0."""

    against: str | None
    moved: bool


def evidence(program: Program, found: Dimensions) -> Evidence:
    """Updates of a problem, and of the same problem rescaled."""
    moved = False
    with jax.enable_x64(True), np.errstate(all="ignore"):
        run = _Runs(program)
        for size, scales in trials(found):
            base = run.updates(found.hyper, size, 1.0, 1.0)
            moved = moved or any(map(np.any, base.values()))
            for loss, params in scales:
                other = run.updates(found.hyper, size, loss, params)
                for name, expected in base.items():
                    apart = np.abs(other[name] / found.update.factor(loss, params) - expected)
                    apart[~np.isfinite(expected) & ~np.isfinite(other[name])] = 0.0
                    largest = np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
                    if not np.all(apart <= 1e-6 * largest):
                        worst = np.max(np.nan_to_num(apart, nan=np.inf)) / (largest or 1.0)
                        what = f"the update of {name}" if name else "the update"
                        return Evidence(disagreement(loss, params, size, what, worst), moved)
    return Evidence(None, moved)


class _Runs:
    """Updates over a stream of gradients and one of parameters: walks of their own, so that each step is judged alone."""

    def __init__(self, program: Program) -> None:
        self._program = program
        rng = np.random.default_rng(0)

        def steps(sizes: Any) -> Any:
            shaped = [(STEPS, *leaf.shape) for leaf in jax.tree.leaves(program.params)]
            return [rng.normal(size=s) * np.reshape(sizes, (-1, *[1] * (len(s) - 1))) for s in shaped]

        self._structure = jax.tree.structure(program.params)
        self._grads = steps(10.0 ** (np.arange(STEPS) % 3 - 1))
        self._params = [np.cumsum(p, axis=0) for p in steps(np.ones(STEPS))]
        self._losses = 5.0 + np.abs(rng.normal(size=STEPS))
        self._init = quickly_compiled()(program.init)
        self._step = quickly_compiled()(self._stepped)

    def _stepped(self, numbers: Any, state: Any, grads: Any, params: Any, more: Any, scales: Any) -> Any:
        def loss(p: Any) -> Any:
            """A smooth loss, rescaled like everything else."""
            leaves = [x / scales[1] for x in jax.tree.leaves(p)]
            return scales[0] * sum(jnp.sum(jnp.square(x) + x**4) for x in leaves)

        if self._program.functions:
            value, slope = jax.value_and_grad(loss)(params)
            more = {"value": value, "grad": slope, **dict.fromkeys(self._program.functions, loss)}
        return self._program.step(numbers, state, grads, params, more)

    def _inputs(self, step: int, gradient: float, loss: float, params: float) -> Iterator[Any]:
        yield self._structure.unflatten([g[step] * gradient for g in self._grads])
        yield self._structure.unflatten([p[step] * params for p in self._params])
        slope = self._structure.unflatten([g[step] * GRADIENT.factor(loss, params) for g in self._grads])
        more = {"value": self._losses[step] * loss, "grad": slope}
        yield {name: more[name] for name in self._program.extra}
        yield np.array([loss, params])

    def updates(self, units: Mapping[str, Units], size: float, loss: float, params: float) -> dict[str, np.ndarray]:
        """By leaf, over the steps, with gradients of one ``size`` and everything rescaled."""
        hyper = self._program.hyper
        numbers = {n: np.float64(v * units.get(n, PURE).factor(loss, params)) for n, v in hyper.items()}
        gradient = size * self._program.gradient.factor(loss, params)
        state, found = None, []
        for step in range(STEPS):
            grads, place, *more = self._inputs(step, gradient, loss * size, params)
            if state is None:
                state = self._init(numbers, place)
            update, state = self._step(numbers, state, grads, place, *more)
            found.append(update)
        leaves, _ = jax.tree_util.tree_flatten_with_path(jax.tree.map(lambda *u: np.stack(u), *found))
        return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
