"""Thousands of training runs in one compiled program: numbers, seeds, batch sizes and rules as named axes."""

from .axes import Axes, grid, points
from .definition import ChangedDefinition
from .memory import DoesNotFit
from .result import Sweep
from .rungs import Rung, halving
from .running import Interrupted, run
from .store import DirectoryInUse
from .structure import shuffled

__all__ = [
    "Axes", "ChangedDefinition", "DirectoryInUse", "DoesNotFit", "Interrupted", "Rung", "Sweep", "grid", "halving",
    "points", "run", "shuffled",
]  # fmt: skip
