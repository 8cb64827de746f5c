"""The state of one array: its fields, declared once with their units, and how each starts."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Slot:
    """A field of a state, with its units; ``kind`` is ``"array"`` (shaped like the parameter), ``"scalar"`` or ``"count"``."""

    units: str
    kind: str = "array"


COUNT = Slot("1", "count")


def state(cls: type) -> Any:
    """Class decorator: a NamedTuple type of the slots that the class declares, in their order, kept in its ``_slots``."""
    slots = {name: slot for name, slot in vars(cls).items() if isinstance(slot, Slot)}
    made: Any = namedtuple(cls.__name__, slots, module=cls.__module__)
    made.__doc__, made._slots = cls.__doc__, slots
    return made


def zeros(State: Any, p: Array, **others: Any) -> Any:
    """The state in which every slot is 0, but for those that are given; a scalar has the dtype rules compute in."""
    start = {
        "array": jnp.zeros_like(p),
        "scalar": jnp.zeros((), jnp.promote_types(p.dtype, jnp.float32)),
        "count": jnp.int32(0),
    }
    return State(**{name: start[slot.kind] for name, slot in State._slots.items()} | others)
