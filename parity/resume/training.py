"""What a training must offer so that its resume can be verified, and the state that every process has beside."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Training(Protocol):
    """One training, as a new process would make it.

    It may have a method ``pieces()`` too: a mapping of names to all that has a state, each with ``state_dict()`` and
    ``load_state_dict()``, whether the training saves it or not. With it, what a resume loses is found by name.
    """

    def step(self, i: int) -> None:
        """Take step ``i``, counted from 0, on the data of that step."""
        ...

    def state(self) -> Any:
        """What the training saves in its checkpoint."""
        ...

    def load(self, state: Any) -> None:
        """Go on from what was saved."""
        ...

    def params(self) -> Mapping[str, Any]:
        """The parameters by name."""
        ...


class Random:
    """The random number generators of this process, as one piece: Python's, NumPy's, and torch's if it is imported."""

    def state_dict(self) -> dict[str, Any]:
        """Their states, copied."""
        held: dict[str, Any] = {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
        if (torch := sys.modules.get("torch")) is not None:
            held["torch"] = torch.get_rng_state()
            if torch.cuda.is_available():
                held["cuda"] = torch.cuda.get_rng_state_all()
        return held

    def load_state_dict(self, held: Mapping[str, Any]) -> None:
        """Put states in place."""
        random.setstate(held["python"])
        np.random.set_state(held["numpy"])  # noqa: NPY002
        torch = sys.modules.get("torch")
        if torch is not None and "torch" in held:
            torch.set_rng_state(held["torch"])
        if torch is not None and "cuda" in held:
            torch.cuda.set_rng_state_all(held["cuda"])


def copied(value: Any) -> Any:
    """As if written to a file and read again: nothing in it changes when the training goes on."""
    return copy.deepcopy(value)


def array(value: Any) -> np.ndarray:
    """A parameter as NumPy's array, of its own."""
    if hasattr(value, "detach"):
        from lrtheory.adopting.in_torch import to_numpy

        return to_numpy(value)
    return np.array(value)
