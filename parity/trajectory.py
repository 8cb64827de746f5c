"""What a replayed run leaves behind: parameters and state at every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Snapshot = dict[str, dict[str, np.ndarray]]  # tensor name -> field of our State -> value


@dataclass(frozen=True)
class Trajectory:
    """Parameters and state over a run.

    Attributes
    ----------
    implementation : str
    params : dict
        By tensor name, shape ``(steps + 1, *shape)``; index 0 is before the first step.
    states : list
        ``steps + 1`` snapshots under our names for state fields; a field is absent where the implementation has none.
    lrs : array of shape (steps,)
        The lr each step was taken with.
    """

    implementation: str
    params: dict[str, np.ndarray]
    states: list[Snapshot]
    lrs: np.ndarray

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.lrs)

    @property
    def dtype(self) -> np.dtype:
        """The parameters' dtype."""
        return next(iter(self.params.values())).dtype

    def field(self, tensor: str, name: str) -> np.ndarray | None:
        """One state field of one tensor after each step, or ``None`` where it is not kept throughout."""
        values = [snapshot.get(tensor, {}).get(name) for snapshot in self.states[1:]]
        if any(value is None for value in values):
            return None
        return np.stack([np.asarray(value) for value in values])
