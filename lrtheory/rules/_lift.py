"""The lift from one array to pytrees: pairing leaves, checking them, widening and storing precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._sparse import SparseGradient

PyTree = Any


def compute_dtype(*arrays: Array) -> Any:
    """The dtype a rule computes in: that of its floating arrays, and never less than float32."""
    floating = [a.dtype for a in arrays if jnp.issubdtype(a.dtype, jnp.floating)]
    widest = jnp.result_type(*floating) if floating else jnp.dtype("float32")
    return widest if jnp.finfo(widest).bits >= 32 else jnp.dtype("float32")


def widened(state: Any, dtype: Any) -> Any:
    """A leaf's state with its floating arrays in the dtype the rule computes in; counts are left alone."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, state)


def narrowed(state: Any, like: Any) -> Any:
    """A leaf's new state in the dtypes it is stored with: those of the old state."""
    return jax.tree.map(lambda new, old: new.astype(old.dtype), state, like)


def check_state(owner: str, state: Any, state_type: type) -> None:
    """Refuse a state of another rule, before its fields are read by position."""
    if not isinstance(state, state_type):
        raise TypeError(f"{owner} takes {state_type.__name__} from its .init(params), not {type(state).__name__}")


@functools.cache
def _initial_shapes(init: Callable[[Array], Any], shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.eval_shape(init, jax.ShapeDtypeStruct(shape, dtype))


def check_state_shapes(owner: str, init: Callable[[Array], Any], p: Array, state: Any) -> None:
    """Refuse a leaf's state that was made for a parameter of another shape, before it broadcasts."""
    expected = _initial_shapes(init, p.shape, p.dtype)
    for name, wanted, given in zip(state._fields, expected, state, strict=True):
        if (wanted is None) != (given is None):
            verb = "has no" if wanted is None else "needs"
            raise ValueError(f"{owner} {verb} state.{name}: this state was made with other options")
        if wanted is not None and jnp.shape(given) != wanted.shape:
            raise ValueError(
                f"{owner}: state.{name} has shape {jnp.shape(given)}; "
                f"for a parameter of shape {p.shape} it is {wanted.shape}"
            )


def _describe(tree: PyTree) -> str:
    return str(jax.tree.structure(tree)).removeprefix("PyTreeDef(").removesuffix(")")


def as_array(owner: str, what: str, path: str, value: Any) -> Array:
    """The value as an array of real floating-point numbers, refused by its path where it is none."""
    if not hasattr(value, "dtype") and not isinstance(value, (float, int, np.generic)):
        raise TypeError(f"{owner}: {what}{path} is {type(value).__name__}, not an array")
    value = jnp.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"{owner}: {what}{path} has dtype {value.dtype}; only real floating-point {what} can be updated "
            "(a complex parameter is two real ones: give its real and imaginary parts)"
        )
    return value


def _as_gradient(owner: str, path: str, value: Any, sparse: bool) -> Any:
    """A dense or a sparse gradient, whichever the rule takes."""
    if not sparse and isinstance(value, SparseGradient):
        raise TypeError(f"{owner} takes dense gradients, but grads{path} is sparse: give its .todense()")
    if not sparse:
        return as_array(owner, "grads", path, value)
    if not isinstance(value, SparseGradient):
        raise TypeError(
            f"{owner} takes sparse gradients, but grads{path} is {type(value).__name__}: "
            "give SparseGradient.from_dense of it, or use a rule for dense gradients"
        )
    problem = value.problem()
    if problem is not None:
        raise ValueError(f"{owner}: grads{path} is no sparse gradient: {problem}")
    return value


@dataclass(frozen=True)
class Leaves:
    """The arrays of params, grads and state, paired leaf by leaf in one order."""

    structure: Any
    params: list[Array]
    grads: list[Any]
    states: list[Any]

    @classmethod
    def of(
        cls,
        owner: str,
        params: PyTree,
        grads: PyTree = None,
        state: Any = None,
        state_type: type | None = None,
        sparse: bool = False,
    ) -> Leaves:
        """Pair the leaves, refusing what does not fit by its path; ``sparse`` for a rule of sparse gradients."""
        with_paths, structure = jax.tree_util.tree_flatten_with_path(params)
        paths = [jax.tree_util.keystr(path) for path, _ in with_paths]
        arrays = [as_array(owner, "params", path, leaf) for path, (_, leaf) in zip(paths, with_paths, strict=True)]
        if state_type is None:
            return cls(structure, arrays, [], [])

        check_state(owner, state, state_type)
        grad_leaves: list[Any] = []
        for path, p, g in zip(paths, arrays, flatten_like(owner, structure, params, grads, "grads"), strict=True):
            if g is not None:
                g = _as_gradient(owner, path, g, sparse)
                if g.shape != p.shape:
                    raise ValueError(f"{owner}: grads{path} has shape {g.shape} but params{path} has {p.shape}")
            grad_leaves.append(g)
        return cls(structure, arrays, grad_leaves, _split_state(owner, structure, params, state))

    @classmethod
    def of_state(cls, state: Any) -> Leaves:
        """Only the states, in the order of the params they belong to."""
        structure = jax.tree.structure(state.t)
        return cls(structure, [], [], _split_state(type(state).__name__, structure, state.t, state))

    def __iter__(self) -> Iterator[tuple[Array, Any, Any]]:
        return iter(zip(self.params, self.grads, self.states, strict=True))

    def join(self, leaves: list[Array]) -> PyTree:
        """Leaves back in the structure of params."""
        return jax.tree.unflatten(self.structure, leaves)

    def join_state(self, state_type: Any, states: list[Any]) -> Any:
        """States of single arrays as one NamedTuple of pytrees; a slot that is off stays ``None``."""
        fields = []
        for position in range(len(state_type._fields)):
            column = [s[position] for s in states]
            off = bool(column) and all(value is None for value in column)
            fields.append(None if off else self.join(column))
        return state_type(*fields)


def flatten_like(owner: str, structure: Any, params: PyTree, tree: PyTree, what: str) -> list[Any]:
    """What stands in ``tree`` in place of each leaf of params; refused with both structures where it does not fit."""
    try:
        return structure.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{owner}: {what} do not have the structure of params\n"
            f"  params: {_describe(params)}\n  {what}:  {_describe(tree)}"
        ) from error


def _split_state(owner: str, structure: Any, params: PyTree, state: Any) -> list[Any]:
    columns = [
        [None] * structure.num_leaves
        if column is None
        else flatten_like(owner, structure, params, column, f"state.{name}")
        for name, column in zip(state._fields, state, strict=True)
    ]
    return [type(state)(*row) for row in zip(*columns, strict=True)]
