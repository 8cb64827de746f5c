"""A sparse gradient: some slices of an array, named by their indices."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@functools.partial(jax.tree_util.register_dataclass, data_fields=["indices", "values"], meta_fields=["shape"])
@dataclass(frozen=True)
class SparseGradient:
    """The gradient of an array of which only some slices took part, such as the rows of an embedding.

    The coordinate format of ``torch.sparse_coo_tensor``: a slice that is listed several times has the sum of its
    values. The number of places is part of the type, so that steps compile; a place that is not needed names an
    index outside of ``shape`` and is left out.

    Attributes
    ----------
    indices : integer array of shape (k, n)
        Places along the first k dimensions, one column a slice: ``(1, n)`` for rows.
    values : array of shape ``(n, *shape[k:])``
    shape : tuple
        Shape of the dense gradient (static).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> SparseGradient(jnp.array([[2, 0, 2]]), jnp.array([[1.0], [2.0], [3.0]]), (4, 1)).todense().ravel().tolist()
    [2.0, 0.0, 4.0, 0.0]
    """

    indices: Any
    values: Any
    shape: tuple[int, ...]

    @classmethod
    def from_dense(cls, g: Array) -> SparseGradient:
        """The entries of a dense gradient that are not 0, as ``torch.Tensor.to_sparse`` has them."""
        places = jnp.indices(g.shape).reshape(g.ndim, g.size)
        values = g.reshape(g.size)
        return cls(jnp.where(values != 0, places, -1), values, g.shape)

    @property
    def dtype(self) -> Any:
        """That of the values."""
        return self.values.dtype

    def astype(self, dtype: Any) -> SparseGradient:
        """The same with values of another dtype."""
        return SparseGradient(self.indices, self.values.astype(dtype), self.shape)

    def __neg__(self) -> SparseGradient:
        return SparseGradient(self.indices, -self.values, self.shape)

    def todense(self) -> Array:
        """As an array of zeros elsewhere."""
        slots, values = self.coalesced()
        return put(jnp.zeros(self.shape, self.dtype), slots, values)

    def problem(self) -> str | None:
        """What does not fit, in words."""
        indices, values = jnp.asarray(self.indices), jnp.asarray(self.values)
        if not jnp.issubdtype(indices.dtype, jnp.integer) or indices.ndim != 2:
            return (
                f"its indices have dtype {indices.dtype} and shape {indices.shape}: integers of shape (k, n) are needed"
            )
        k, n = indices.shape
        if k > len(self.shape) or values.shape != (n, *self.shape[k:]):
            return f"its values have shape {values.shape}, but shape {self.shape} and {n} places along the first {k} \
dimensions need {(n, *self.shape[k:])}"
        if not jnp.issubdtype(values.dtype, jnp.floating):
            return f"its values have dtype {values.dtype}: real floating-point numbers are needed"
        return None

    def coalesced(self) -> tuple[Array, Array]:
        """Places without repetition, as positions along the first k dimensions flattened, and the sum of values at each.

        As many as before: places left over are out of range, which :func:`take` and :func:`put` leave out.
        """
        k, n = self.indices.shape
        dims = self.shape[:k]
        size = math.prod(dims)
        if n == 0:
            return jnp.zeros(0, jnp.int32), self.values
        bounds = jnp.asarray(dims, self.indices.dtype).reshape(k, 1)
        inside = jnp.all((self.indices >= 0) & (self.indices < bounds), axis=0)
        position = jnp.zeros(n, jnp.int32)
        for dim, index in zip(dims, self.indices, strict=True):
            position = position * dim + index.astype(jnp.int32)
        position = jnp.where(inside, position, size)
        slots, source = jnp.unique(position, size=n, fill_value=size, return_inverse=True)
        return slots, jnp.zeros_like(self.values).at[source.reshape(n)].add(self.values)


def take(array: Array, slots: Array, values: Array) -> Array:
    """The slices of ``array`` at ``slots``, shaped like ``values``; 0 where out of range."""
    return jnp.asarray(array).reshape(-1, *values.shape[1:]).at[slots].get(mode="fill", fill_value=0)


def put(array: Array, slots: Array, values: Array) -> Array:
    """``array`` with the slices at ``slots`` replaced; those out of range are left out."""
    return jnp.asarray(array).reshape(-1, *values.shape[1:]).at[slots].set(values, mode="drop").reshape(array.shape)
