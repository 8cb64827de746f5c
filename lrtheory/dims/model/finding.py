"""The question, for a network of any framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .result import Symmetries


def symmetries(loss: Callable[..., Any], params: Any, *data: Any) -> Symmetries:
    """Scale symmetries of a loss: which tensors may be multiplied by what, and it stays the same.

    The program of the loss is read, not sampled: one unknown unit for each tensor, data as pure numbers, and what the
    equations leave open is the group of symmetries.

    Parameters
    ----------
    loss : callable
        ``loss(params, *data)``, a real scalar.
    params : pytree of arrays, a module of flax NNX or equinox, a Keras model on JAX, or a torch.nn.Module
        Every real array in it is a tensor; integers and truth values count as data. Arrays may be given as
        ``jax.ShapeDtypeStruct``; then no numbers are looked at.
    data : pytrees
        Further arguments of the loss: batches, keys, running statistics.

    Returns
    -------
    Symmetries

    Raises
    ------
    TypeError
        If the loss is no function or gives no real scalar, or a tensor is complex.
    ValueError
        If there are no tensors, or the loss cannot be traced or changes what it is given.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> def loss(params, x, y):
    ...     hidden = jax.nn.relu(x @ params["first"])
    ...     return jnp.mean((hidden @ params["second"] - y) ** 2)
    >>> params = {"first": jnp.ones((3, 4)), "second": jnp.ones((4, 1))}
    >>> print(*symmetries(loss, params, jnp.ones((8, 3)), jnp.ones((8, 1))).generators)
    first ×k, second ÷k
    """
    if not callable(loss):
        raise TypeError(f"the loss is {loss!r}: give a function of the parameters and the data that returns a scalar")
    if _is_of(params, "torch.nn.modules.module") and not _is_of(params, "keras."):
        from ._torch import symmetries_torch

        return symmetries_torch(loss, params, data)
    from ._jax import symmetries_jax

    return symmetries_jax(loss, params, data)


def _is_of(value: Any, module: str) -> bool:
    return any(base.__module__.startswith(module) for base in type(value).__mro__)
