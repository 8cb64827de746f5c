"""The effective lr of a single example of a batch."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array

from ..numbers import is_concrete

PyTree = Any


def per_example(effective_lr: PyTree, batch_size: int | Array, reduction: str) -> PyTree:
    """Effective lr for the gradient of one example.

    Parameters
    ----------
    effective_lr : pytree
    batch_size : examples the loss was reduced over
    reduction : "mean" or "sum"
        A mean divides by the batch size; in a sum every example has the whole effective lr.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} must be 'mean' or 'sum'")
    if is_concrete(batch_size) and not np.all(np.asarray(batch_size) >= 1):
        raise ValueError(f"batch_size={batch_size}: a batch has one example or more")
    return jax.tree.map(lambda e: e / batch_size if reduction == "mean" else e, effective_lr)
