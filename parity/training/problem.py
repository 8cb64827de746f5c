"""What is trained, written once for JAX and once for PyTorch: data, first parameters, model and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrtheory.sweep import shuffled

Parameters = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem, with nothing shared between the two frameworks but the numbers."""

    name: str
    initial: Parameters  # float64; names are those of torch_module().state_dict()
    x: np.ndarray  # one example a row
    y: np.ndarray
    # (parameters, x, y) -> scalar; compares and hashes alike for alike models, so that a compiled run is found again for
    # another seed
    jax_loss: Callable[[Any, Any, Any], Any]
    torch_module: Callable[[], Any]  # () -> torch.nn.Module
    torch_loss: Callable[[Any, Any], Any]  # (outputs, y) -> scalar tensor

    def shuffled(self, batch_size: int, steps: int, seed: int) -> np.ndarray:
        """Row numbers of shape (steps, batch_size), as :func:`lrtheory.sweep.shuffled` draws them."""
        return shuffled(len(self.x), batch_size, steps, seed)

    def whole(self, steps: int) -> np.ndarray:
        """Every row at every step, as row numbers of shape (steps, rows)."""
        return np.tile(np.arange(len(self.x)), (steps, 1))
