"""What a sweep found, as arrays with named axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .axes import Axes


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of every run.

    Attributes
    ----------
    axes : axis -> its values
        The first dimensions of every array in ``values``, in this order.
    values : name -> array
        ``final_loss`` after the last step, on the last step's batch; ``diverged_at``, the first step (from 1) whose loss
        or parameters were not finite or whose loss exploded, 0 where there was none; ``loss``, with a last dimension over
        ``record``: the loss that each recorded step's gradient was taken of. Losses are not multiplied by ``loss_scale``.
    record : the recorded steps
    summaries : a ``Summary`` per parameter, arrays with the axes and ``record`` in front; ``None`` unless asked for
    evaluated : what ``evaluate`` gave, arrays with the axes in front; ``None`` unless asked for
    plan : per rule and batch size, how the runs were cut into tiles and how much memory they took, in words
    """

    axes: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    record: np.ndarray
    summaries: Any
    evaluated: Any
    plan: Mapping[str, str]
    columns: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    def table(self) -> dict[str, np.ndarray]:
        """One row a run, as columns: the numbers of the run, then what it left. ``pandas.DataFrame`` takes it as it is."""
        flat = {name: self.values[name].reshape(-1) for name in ("final_loss", "diverged_at")}
        return {name: np.array(column) for name, column in self.columns.items()} | flat

    def diverged(self) -> dict[str, np.ndarray]:
        """The rows of the table that diverged: which, and when."""
        table = self.table()
        return {name: column[table["diverged_at"] > 0] for name, column in table.items()}


def assemble(axes: Axes, record: tuple[int, ...], outcome: Any, plan: Mapping[str, str]) -> Sweep:
    """The results in the shape of the axes; ``outcome`` has one axis of runs in front."""
    import jax  # arrays are numpy's by now: only the tree is jax's

    shaped = jax.tree.map(lambda x: x.reshape(*axes.shape, *x.shape[1:]), outcome)
    values = {name: getattr(shaped, name) for name in ("final_loss", "diverged_at", "loss")}
    return Sweep(
        axes.coordinates, values, np.array(record, int), shaped.summaries, shaped.evaluated, plan, axes.columns
    )
