"""JAX: what comes out has the form of what went in, and means the same under jit, scan and vmap as it does eagerly."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..comparing import Walk, close, demand, moved
from ..outcome import a_check
from ..runs import STEPS, Run, standard
from ..targets import follow
from ..targets.jax_target import JaxTarget, as_tree


def _trees(target: JaxTarget) -> dict[str, Any]:
    shapes = list(target.shapes.values())
    return {
        "a dict": {name: jnp.ones(shape) for name, shape in target.shapes.items()},
        "nested containers": {"layers": [(jnp.ones(shapes[0]),), {"w": jnp.ones(shapes[-1])}]},
        "one array": jnp.ones(shapes[0]),
        "an empty tree": {},
    }


@a_check(
    "tree",
    "For a dict, nested containers, one array and an empty tree: the update has the structure, shapes and dtypes of the "
    "parameters, and the state keeps its own from step to step.",
    kinds=("jax",),
)
def tree(target: JaxTarget) -> None:
    """Traced, not run: structure cannot depend on values."""
    functions = target.functions()
    for what, params in _trees(target).items():
        state = jax.eval_shape(functions.init, params)
        for step in (1, 2, 3):
            update, after = jax.eval_shape(functions.update, target.gradients(params), state, params)
            _like(params, update, f"{what}, step {step}: the update")
            _like(state, after, f"{what}, step {step}: the new state")
            state = after


@a_check(
    "dtypes",
    "For float32, bfloat16 and float64 parameters, with 64-bit numbers enabled: updates have the parameters' dtype, and "
    "no array of the state that is shaped like a parameter has more bits than that (float32 at least).",
    kinds=("jax",),
)
def dtypes(target: JaxTarget) -> None:
    """The dtype of a plain Python lr, and of what is multiplied by it, must not creep in."""
    functions = target.functions()
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float64):
        params = {name: jnp.ones(shape, dtype) for name, shape in target.shapes.items()}
        allowed = max(32, jnp.finfo(dtype).bits)
        state = jax.eval_shape(functions.init, params)
        update, after = jax.eval_shape(functions.update, target.gradients(params), state, params)
        _like(params, update, f"{np.dtype(dtype)} parameters: the update")
        for path, leaf in jax.tree_util.tree_leaves_with_path(after):
            if leaf.shape in target.shapes.values() and leaf.shape and jnp.issubdtype(leaf.dtype, jnp.floating):
                demand(
                    jnp.finfo(leaf.dtype).bits <= allowed,
                    f"{np.dtype(dtype)} parameters: the state's {jax.tree_util.keystr(path)} is {leaf.dtype}",
                )


def _like(expected: Any, found: Any, what: str) -> None:
    structures = jax.tree.structure(expected), jax.tree.structure(found)
    demand(structures[0] == structures[1], f"{what} has the structure {structures[1]}, not {structures[0]}")
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(found), strict=True):
        where = f"{what}{jax.tree_util.keystr(path)}"
        demand(a.shape == b.shape, f"{where} has shape {b.shape}, not {a.shape}")
        demand(a.dtype == b.dtype, f"{where} is {b.dtype}, not {a.dtype}")


@a_check(
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
    def step(params: Any, state: Any, grads: Any) -> Any:
        traces.append(None)
        return functions.step(params, state, grads)

    params = as_tree(run.params)
    given = params, functions.init(params), target.gradients(as_tree(run.at(0)))
    lowered = step.trace(*given)  # raises what tracing raises
    demand(lowered is not None and len(traces) == 1, f"traced {len(traces)} times for one call")
    step.trace(*jax.tree.map(_other, given))
    demand(len(traces) == 1, "other values of the same shapes are traced again")
    steps = STEPS if run.code() == standard(target.shapes).code() else 3  # some compile something at every eager step
    compiled = follow(target, run).only(run.shapes, slice(steps + 1))
    close(compiled, target.eagerly(run, steps), "compiled and eager runs differ")


def _other(leaf: Any) -> Any:
    """Another value of the same shape and dtype; a key of random numbers has no sum."""
    return leaf + 1 if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.number) else leaf


@a_check(
    "scan",
    "Eight steps in one lax.scan, with parameters and state as the carry, run and equal eight compiled steps.",
    kinds=("jax",),
)
def scan(target: JaxTarget) -> None:
    """Needs a state whose structure and dtypes never change."""
    run = standard(target.shapes)
    functions = target.functions()

    def body(carry: Any, grads: Any) -> Any:
        after = functions.step(carry[0], carry[1], target.gradients(grads))
        return after, after[0]

    params = as_tree(run.params)
    steps = jax.jit(lambda p, g: jax.lax.scan(body, (p, functions.init(p)), g)[1])(params, as_tree(run.grads))
    expected = follow(target, run)
    moved(expected)
    found = Walk({name: np.concatenate([expected[name][:1], value]) for name, value in steps.items()})
    close(found, expected, "a scan and single steps differ")


@a_check(
    "vmap",
    "vmap over parameters, state and gradients equals a loop over them.",
    kinds=("jax",),
)
def vmap(target: JaxTarget) -> None:
    """Three optimizers at once, from the same start of the random numbers as three alone."""
    functions = target.functions()
    runs = [standard(target.shapes, seed) for seed in range(3)]
    params = jax.tree.map(lambda *p: jnp.stack(p), *[as_tree(run.params) for run in runs])
    step = jax.jit(jax.vmap(lambda p, s, g: functions.step(p, s, target.gradients(g))))
    state = jax.vmap(functions.init)(params)
    history = [params]
    for number in range(STEPS):
        grads = jax.tree.map(lambda *g: jnp.stack(g), *[as_tree(run.at(number)) for run in runs])
        params, state = step(params, state, grads)
        history.append(params)
    for which, run in enumerate(runs):
        together = Walk.of([{name: value[which] for name, value in p.items()} for p in history])
        close(together, follow(target, run), f"vmap and a loop differ in element {which}")
