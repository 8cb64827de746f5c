"""Batches as arrays of row numbers, made once on the host, so that any framework can be given the same."""

from __future__ import annotations

import numpy as np


def shuffled(rows: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Row numbers of shape (steps, batch_size): a new permutation every epoch, its incomplete last batch left out.

    Raises
    ------
    ValueError
        For a batch that is empty or larger than the data.
    """
    if not 0 < batch_size <= rows:
        raise ValueError(f"batch_size={batch_size} must be between 1 and the {rows} rows there are")
    rng = np.random.default_rng([seed, 1])
    per_epoch = rows // batch_size
    epochs = -(-steps // per_epoch)
    order = np.concatenate([rng.permutation(rows)[: per_epoch * batch_size] for _ in range(epochs)])
    return order.reshape(-1, batch_size)[:steps]
