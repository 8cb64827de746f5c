"""Which weights are those of an optimizer, in a checkpoint of several models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ._arrays import array
from .checkpoint import Checkpoint, Key, SavedOptimizer, places
from .identified import arrays_of, told_shape

Shape = tuple[int, ...]


def beside(saved: SavedOptimizer, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the model that fits the optimizer, or with all of them where only those do; else as it is."""
    models = checkpoint.models
    if len(models) < 2:
        return checkpoint
    told = {key: told_shape(arrays_of(kept)) for key, kept in saved.state.items()}
    shapes = {key: shape for key, shape in told.items() if shape}
    for weights in models.values():
        if _fits(saved, shapes, weights):
            return replace(checkpoint, weights=weights)
    together = {name: value for weights in models.values() for name, value in weights.items()}
    if len(together) < sum(map(len, models.values())):
        together = {f"{path}.{name}": value for path, own in models.items() for name, value in own.items()}
    if _fits(saved, shapes, together):
        return replace(checkpoint, weights=together, ordered=False)
    return checkpoint


def _fits(saved: SavedOptimizer, shapes: Mapping[Key, Shape], weights: Mapping[str, Any]) -> bool:
    """Whether all tensors have a weight of their name, or else one of their shape."""
    have = {name: found.shape for name, value in weights.items() if (found := array(value)) is not None}
    if saved.names:
        where = places(saved, weights)[0]
        return all(key in where and have.get(where[key]) == shape for key, shape in shapes.items())
    return not Counter(shapes.values()) - Counter(have.values())
