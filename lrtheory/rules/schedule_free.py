r"""Schedule-free averaging: what its rules share.

Gradients are taken at the parameters :math:`y`; :math:`z` takes the base rule's steps, :math:`x` is the running
average of :math:`z` that is evaluated, and :math:`y = (1-beta1) z + beta1 \cdot x`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Averaging(NamedTuple):
    """The average's weights: ``weight_sum`` over that of the largest lr so far, so that no power of a lr is formed."""

    max_lr: Any
    weight_sum: Any

    def after(self, lr: Array, power: Array) -> Averaging:
        """With one more z: its weight is the largest lr so far to ``power``."""
        max_lr = jnp.maximum(self.max_lr, lr)
        moving = max_lr > 0
        ratio = jnp.where(moving, self.max_lr / jnp.where(moving, max_lr, 1), 1)
        weight = jnp.where(moving | (power == 0), 1, 0)
        carried = jnp.where(power == 0, self.weight_sum, self.weight_sum * ratio**power)
        return Averaging(max_lr, carried + weight)

    @property
    def share(self) -> Array:
        """c, the last z's share of the average; 0 while every lr was 0."""
        return jnp.where(self.weight_sum == 0, 0, 1 / jnp.where(self.weight_sum == 0, 1, self.weight_sum))


def evaluation_params(hyper: Any, state: Any, params: Any) -> Any:
    """x, the averaged parameters that a schedule-free rule is evaluated and used with.

    Parameters
    ----------
    hyper, state
        Of :func:`~lrtheory.rules.schedule_free_sgd` or :func:`~lrtheory.rules.schedule_free_adamw`.
    params : pytree
        The parameters that gradients are taken at.

    Raises
    ------
    TypeError
        For the state of a rule that is not schedule-free.
    """
    if not hasattr(state, "z") or not hasattr(hyper, "beta1"):
        raise TypeError(f"evaluation_params takes the state of a schedule-free rule, not {type(state).__name__}")
    beta1 = hyper.beta1
    return jax.tree.map(lambda y, z: ((y - (1 - beta1) * z) / beta1).astype(y.dtype), params, state.z)
