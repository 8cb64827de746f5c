"""A checkpoint as the source of a port: the state of its optimizer, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..adopting.state_dict import array_of
from ..checkpoints import Checkpoint, CheckpointError, read
from .errors import PortError


def from_file(path: str | PathLike[str]) -> tuple[dict[str, Any], Any]:
    """The state dict of a checkpoint's torch optimizer, and the weights that go with it, or ``None``.

    Raises
    ------
    PortError
        For what is no checkpoint, and for one without exactly one optimizer of torch.
    """
    try:
        found = read(path)  # type: ignore[arg-type]
        if len(found.optimizers) != 1:
            where = ", ".join(o.path for o in found.optimizers)
            raise PortError(f"{path} has {len(found.optimizers)} optimizers, at {where}: give the state dict of one")
        saved = found.optimizers[0].state_dict()
    except CheckpointError as error:
        raise PortError(str(error)) from error
    return saved, _weights(found)


def _weights(found: Checkpoint) -> Mapping[str, Any] | list[Any] | None:
    """By name; in their order where the optimizer has no names and all shapes fit."""
    (optimizer,) = found.optimizers
    keys = [key for group in optimizer.groups for key in group.keys]
    places = found.places(optimizer)
    if all(key in places for key in keys):
        return {optimizer.names[key]: array_of(found.weights[places[key]]) for key in keys}
    arrays = [array_of(value) for value in found.weights.values()]
    shapes = [{np.shape(v) for v in optimizer.state.get(key, {}).values() if np.ndim(v)} for key in keys]
    fit = len(arrays) == len(keys) and all(shape <= {np.shape(a)} for shape, a in zip(shapes, arrays, strict=True))
    return arrays if found.ordered and fit and not optimizer.names else None
