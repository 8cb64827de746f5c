"""Thousands of training runs in one compiled program: numbers, seeds, batch sizes and rules as named axes."""

from .axes import Axes, grid, points
from .definition import ChangedDefinition
from .memory import DoesNotFit
from .result import Sweep
from .running import run
from .store import DirectoryInUse
from .structure import shuffled

__all__ = ["Axes", "ChangedDefinition", "DirectoryInUse", "DoesNotFit", "Sweep", "grid", "points", "run", "shuffled"]
