"""What the runs of a sweep have in common: the structure that is compiled, and the data they are fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .axes import AnyRule

PyTree = Any


@dataclass(frozen=True)
class Structure:
    """The static structure of a run: two runs of equal structure share a compiled program.

    All but the rule are as :func:`lrtheory.sweep.run` takes them.
    """

    rule: AnyRule
    loss: Callable[[PyTree, PyTree], Any]
    steps: int
    record: tuple[int, ...]
    schedule: Callable[[Any], Any] | None
    summarise: bool
    evaluate: Callable[[PyTree], PyTree] | None
    explode: float

    def __post_init__(self) -> None:
        steps, record = self.steps, self.record
        if not (isinstance(steps, int) and steps >= 1):
            raise ValueError(f"steps={steps!r} must be an integer of 1 or more")
        if list(record) != sorted(set(record)) or any(not 1 <= at <= steps for at in record):
            raise ValueError(f"record={list(record)} must hold rising step numbers from 1 to steps={steps}")
        if not self.explode > 1:
            raise ValueError(f"explode={self.explode} must be above 1: it multiplies the first loss")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the runs are fed, as :func:`lrtheory.sweep.run` takes it."""

    params: Any
    data: PyTree
    steps: int
    batches: Callable[[int, int, int, int], np.ndarray]

    @property
    def seeded(self) -> bool:
        """Whether first parameters depend on the seed."""
        return callable(self.params)

    @property
    def rows(self) -> int | None:
        """Examples in the data; ``None`` where its arrays do not agree on a number of rows."""
        lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(self.data)}
        return next(iter(lengths))[0] if len(lengths) == 1 and lengths != {()} else None

    def first_params(self, seed: int) -> PyTree:
        """First parameters of a seed, as arrays."""
        params = self.params(seed) if self.seeded else self.params
        return jax.tree.map(lambda p: np.asarray(jax.numpy.asarray(p)), params)

    def drawn(self, batch_size: int, seed: int) -> np.ndarray:
        """Row numbers of every step, checked: a wrong shape or a row that is not there would train on something else."""
        rows = self.rows
        assert rows is not None
        found = np.asarray(self.batches(rows, batch_size, self.steps, seed))
        if found.shape != (self.steps, batch_size) or found.dtype.kind not in "iu":
            raise ValueError(
                f"batches gave {found.dtype} of shape {found.shape} for seed {seed}; "
                f"integers of shape {(self.steps, batch_size)}, one row of them a step, are needed"
            )
        if found.min() < 0 or found.max() >= rows:
            raise ValueError(
                f"batches gave row numbers {found.min()} to {found.max()}; the data has rows 0 to {rows - 1}"
            )
        return found.astype(np.int32)


def shuffled(rows: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """Row numbers of shape (steps, batch_size): a new permutation every epoch, its incomplete last batch left out.

    They are made on the host, so that any framework can be given the same.

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
