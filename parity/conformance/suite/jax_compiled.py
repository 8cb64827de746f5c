"""JAX: the update means the same under jit, scan and vmap as it does eagerly."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..comparing import Path, close, demand, moved
from ..registry import register
from ..runs import STEPS, Run, standard
from ..targets import follow
from ..targets.jax_target import JaxTarget, as_tree


def eagerly(target: JaxTarget, run: Run, steps: int = STEPS) -> Path:
    """The path of an optimizer that nobody compiles."""
    functions = target.functions()
    params = as_tree(run.params)
    state = functions.init(params)
    history = [params]
    for step in range(steps):
        params, state = functions.step(target.gradients(as_tree(run.at(step))), state, params)
        history.append(params)
    return Path.of(history)


@register(
    "jit",
    "The update can be traced; eager and compiled runs agree to rounding; and a second call with the same shapes traces "
    "nothing again.",
    kinds=("jax",),
    examples=2,
)
def jit(target: JaxTarget, run: Run) -> None:
    """Catches Python branches on values and numbers baked in when the update is traced."""
    functions = target.functions()
    traces = []

    @jax.jit
    def step(grads: Any, state: Any, params: Any) -> Any:
        traces.append(None)
        return functions.step(grads, state, params)

    params = as_tree(run.params)
    gradients = target.gradients(as_tree(run.at(0)))
    lowered = step.trace(gradients, functions.init(params), params)  # raises what tracing raises
    demand(lowered is not None and len(traces) == 1, f"traced {len(traces)} times for one call")
    step.trace(*[jax.tree.map(_other, tree) for tree in (gradients, functions.init(params), params)])
    demand(len(traces) == 1, "other values of the same shapes are traced again")
    steps = STEPS if run.code() == standard(target.shapes).code() else 3  # some compile something at every eager step
    close(eagerly(target, run, steps), follow(target, run).only(run.shapes, slice(steps + 1)),
          "eager and compiled runs differ")  # fmt: skip


def _other(leaf: Any) -> Any:
    """Another value of the same shape and dtype; a key of random numbers has no sum."""
    return leaf + 1 if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.number) else leaf


@register(
    "scan",
    "Eight steps in one lax.scan, with parameters and state as the carry, run and equal eight compiled steps.",
    kinds=("jax",),
)
def scan(target: JaxTarget) -> None:
    """Needs a state whose structure and dtypes never change."""
    run = standard(target.shapes)
    functions = target.functions()

    def body(carry: Any, grads: Any) -> Any:
        after = functions.step(target.gradients(grads), carry[1], carry[0])
        return after, after[0]

    params = as_tree(run.params)
    path = jax.jit(lambda p, g: jax.lax.scan(body, (p, functions.init(p)), g)[1])(params, as_tree(run.grads))
    expected = follow(target, run)
    moved(expected)
    found = Path({name: np.concatenate([expected[name][:1], value]) for name, value in path.items()})
    close(expected, found, "a scan and single steps differ")


@register(
    "vmap",
    "vmap over parameters, state and gradients equals a loop over them.",
    kinds=("jax",),
)
def vmap(target: JaxTarget) -> None:
    """Three optimizers at once, from the same start of the random numbers as three alone."""
    functions = target.functions()
    runs = [standard(target.shapes, seed) for seed in range(3)]
    params = jax.tree.map(lambda *p: jnp.stack(p), *[as_tree(run.params) for run in runs])
    step = jax.jit(jax.vmap(lambda g, s, p: functions.step(target.gradients(g), s, p)))
    state = jax.vmap(functions.init)(params)
    history = [params]
    for number in range(STEPS):
        grads = jax.tree.map(lambda *g: jnp.stack(g), *[as_tree(run.at(number)) for run in runs])
        params, state = step(grads, state, params)
        history.append(params)
    for which, run in enumerate(runs):
        together = Path.of([{name: value[which] for name, value in p.items()} for p in history])
        close(together, follow(target, run), f"vmap and a loop differ in element {which}")
