"""Batches as arrays of row numbers, made once and given to every framework."""

from __future__ import annotations

import numpy as np

from lrtheory.sweep import shuffled

__all__ = ["full", "shuffled"]


def full(rows: int, steps: int) -> np.ndarray:
    """Every row at every step."""
    return np.tile(np.arange(rows), (steps, 1))
