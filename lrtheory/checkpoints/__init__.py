"""Checkpoints of training runs: read without running anything in them, and held against themselves."""

from .checkpoint import Checkpoint, CheckpointError, SavedGroup, SavedOptimizer
from .fault import Fault, Judgement
from .judging import judge
from .reading import read
from .writing import write

__all__ = [
    "Checkpoint", "CheckpointError", "Fault", "Judgement", "SavedGroup", "SavedOptimizer", "judge", "read", "write",
]  # fmt: skip
