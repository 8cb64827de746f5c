"""The form in which checks see a target, whatever its framework."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..comparing import Walk
from ..runs import SHAPES, Run

Arrays = Mapping[str, np.ndarray]


class Session(ABC):
    """One optimizer at work on one set of parameters."""

    @abstractmethod
    def step(self, grads: Mapping[str, np.ndarray | None]) -> None:
        """Take one step; ``None`` stands for a parameter without a gradient."""

    @abstractmethod
    def params(self) -> dict[str, np.ndarray]:
        """A copy of the parameters as they are now."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """A copy of the state by path."""

    @abstractmethod
    def saved(self) -> bytes:
        """The state as a file would hold it."""


class Target(ABC):
    """An optimizer to check.

    Attributes
    ----------
    name : str
    kind : str
        ``jax`` or ``torch``.
    imports, expression : str
        Code that makes what was given to :func:`~parity.conformance.check`.
    lr : float or None
        The nominal lr, where it is known and can be moved.
    shapes : mapping
        Shapes that it takes.
    reference : Target or None
        What it is meant to equal.
    arguments : mapping
        Those that were given beside it.
    claims_law : bool
        Whether a scaling law is claimed, so that a broken one is a failure and not a note.
    notes : tuple of str
    """

    kind: str = ""

    def __init__(self, name: str, imports: str, expression: str, notes: tuple[str, ...] = ()) -> None:
        self.name, self.imports, self.expression = name, imports, expression
        self.lr: float | None = None
        self.shapes: Mapping[str, tuple[int, ...]] = SHAPES
        self.reference: Target | None = None
        self.arguments: Mapping[str, Any] = {}
        self.claims_law = False
        self.notes = notes

    @abstractmethod
    def start(self, params: Arrays, lrs: np.ndarray | None = None) -> Session:
        """A fresh optimizer in float64; ``lrs`` are what its lr is multiplied by at each step."""

    @abstractmethod
    def resume(self, saved: bytes, params: Arrays) -> Session:
        """A fresh optimizer that goes on from what :meth:`Session.saved` left."""

    @abstractmethod
    def dimensions(self) -> Any:
        """What :func:`lrtheory.dims.infer` says of it."""

    @abstractmethod
    def rescaled(self, found: Any, run: Run, loss: float, params: float) -> dict[str, np.ndarray]:
        """The path with every number multiplied as its units say; gradients and parameters are rescaled too."""


def follow(target: Target, run: Run, *, moving: bool = False, **changes: Any) -> Walk:
    """Parameters over a run, by tensor name, shape (steps + 1, *shape)."""
    run = run.with_(**changes) if changes else run
    session = target.start(run.params, run.lrs if moving else None)
    return going_on(session, run, range(run.steps))


def going_on(session: Session, run: Run, steps: range) -> Walk:
    """Parameters before and after each of these steps of a run."""
    history = [session.params()]
    for step in steps:
        session.step(run.at(step))
        history.append(session.params())
    return Walk.of(history)
