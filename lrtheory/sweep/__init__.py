"""Thousands of training runs in one compiled program: numbers, seeds, batch sizes and rules as named axes."""

from .axes import Axes, grid, points
from .batches import shuffled
from .definition import ChangedDefinition
from .memory import DoesNotFit
from .result import Sweep
from .running import run
from .store import DirectoryInUse

__all__ = ["Axes", "ChangedDefinition", "DirectoryInUse", "DoesNotFit", "Sweep", "grid", "points", "run", "shuffled"]
