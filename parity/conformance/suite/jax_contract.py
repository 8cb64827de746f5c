"""JAX: what comes out has the structure, shapes and dtypes of what went in."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..comparing import demand
from ..registry import register
from ..targets.jax_target import JaxTarget


def _trees(target: JaxTarget) -> dict[str, Any]:
    shapes = list(target.shapes.values())
    return {
        "a dict": {name: jnp.ones(shape) for name, shape in target.shapes.items()},
        "nested containers": {"layers": [(jnp.ones(shapes[0]),), {"w": jnp.ones(shapes[-1])}]},
        "one array": jnp.ones(shapes[0]),
        "an empty tree": {},
    }


@register(
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


@register(
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
