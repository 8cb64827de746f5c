"""Checkpoints of training runs: read without running anything in them, and held against themselves."""

from ._safetensors import write
from ._tree import is_optimizer
from .checkpoint import Checkpoint, CheckpointError, SavedGroup, SavedOptimizer
from .fault import Fault, Judgement
from .judging import judge
from .reading import read

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Fault",
    "Judgement",
    "SavedGroup",
    "SavedOptimizer",
    "is_optimizer",
    "judge",
    "read",
    "write",
]
