"""Rules around rules: what changes the lr in force from outside, with the contract of a rule."""

from ._wrapper import Wrapper, bare, innermost, unwrapped
from .accumulation import AccumulatedState, accumulate
from .averaging import AveragedState, average_weights
from .clipping import ClippedState, clip_by_global_norm, clip_by_norm, clip_by_value, torch_factor
from .flattening import FlattenedState, flatten

__all__ = [
    "AccumulatedState", "AveragedState", "ClippedState", "FlattenedState", "Wrapper", "accumulate", "average_weights",
    "bare", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "flatten", "innermost", "torch_factor", "unwrapped",
]  # fmt: skip
