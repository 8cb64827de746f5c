"""The form in which checks see a target, whatever its framework."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..comparing import Walk
from ..outcome import told
from ..runs import SHAPES, Run
from ..worker import OutOfTime

Arrays = Mapping[str, np.ndarray]

#: What the lr and the weight decay are called.
RATES = ("learning_rate", "lr")
#: What stands in for an lr that has no default.
DEFAULT_LR = 1e-3
_DECAY = re.compile(r"weight_decay(_|$)|wd$|lambd$")

#: Calls in which a target that adds gradients up must have moved.
CALLS = 64


def is_decay(name: str) -> bool:
    """Whether a number of this name is a weight decay; one inside a composition has the part's name behind it."""
    return _DECAY.match(name) is not None


def curvature(shape: tuple[int, ...]) -> np.ndarray:
    """What a loss that is differentiated twice has times x²/2 + log cosh x, at a distance of x from where a step began.

    Its derivatives of all orders act, and none but the first grows: far away it is no steeper than methods of second
    and third order take for granted, whose Lipschitz constants are 1 by default.
    """
    return (1 + np.arange(int(np.prod(shape))) % 3).reshape(shape) / 8


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
    """An optimizer to check."""

    kind: str = ""  # jax or torch
    takes_gradients = True  # or makes them itself, of a loss

    def __init__(self, name: str, imports: str, expression: str, notes: tuple[str, ...] = ()) -> None:
        self.name, self.notes = name, notes
        self.imports, self.expression = imports, expression  # code that makes what was given to parity.check
        self.lr: float | None = None  # the nominal lr, where it is known and can be moved
        self.shapes: Mapping[str, tuple[int, ...]] = SHAPES  # that it takes
        self.reference: Target | None = None  # what it is meant to equal
        self.arguments: Mapping[str, Any] = {}  # those that were given beside it
        self.claims_law = False  # whether a scaling law is claimed, so that a broken one is a failure and not a note
        self.calls = 1  # of step that make up one step: more than one where gradients are added up
        self.trouble = ""  # what went wrong in the first step; empty where nothing did
        self.maximizes = False
        self.is_part = False  # whether it is one of optax's parts of a chain, which an lr and its minus come after
        self.decays_inside = False  # whether it may decay parameters by a number that is no argument
        self.changes: tuple[str, ...] = ()  # what is global and was changed when it was made and took its first step

    @abstractmethod
    def settle(self) -> None:
        """Make one and take the first step, to find out what it takes: :attr:`shapes`, :attr:`calls`, :attr:`trouble`."""

    def _first_that_runs(self, forms: Mapping[str, Callable[[], None]]) -> str:
        """Go on with the first form that runs, by what is told of it; what the first one raised, where none does."""
        refused = ""
        for what, run in forms.items():
            try:
                run()
            except OutOfTime:
                raise
            except BaseException as error:
                refused = refused or told(error)
                continue
            if refused:
                self.notes += (f"checked on {what}: otherwise it {refused}",)
            return ""
        return refused

    def _settle_calls(self, session: Session, grads: Arrays) -> None:
        """Find out how many calls of a session that has made one make up a step, by when parameters move."""
        start = session.params()
        still = [name for name, value in self._ones.items() if np.array_equal(value, start[name])]
        if len(still) < len(start):
            if still:
                self.notes += (f"the first step does not move {' and '.join(still)}, whose gradient is of ones",)
            return
        at, before = [], start
        for call in range(2, CALLS + 1):
            session.step(grads)
            after = session.params()
            if any(np.any(after[name] != before[name]) for name in after):
                at.append(call)
            before = after
            if len(at) == 3:
                break
        gaps = set(np.diff(at)) if len(at) > 1 else set(at)
        # A first step that is longer by itself is a warm-up that starts at 0.
        self.calls = int(gaps.pop()) if len(gaps) == 1 else 1

    @property
    def _ones(self) -> dict[str, np.ndarray]:
        return {name: np.ones(shape) for name, shape in self.shapes.items()}

    @abstractmethod
    def start(self, params: Arrays, lrs: np.ndarray | None = None) -> Session:
        """A fresh optimizer in float64; ``lrs`` are what its lr is multiplied by at each step."""

    @abstractmethod
    def resume(self, saved: bytes, params: Arrays) -> Session:
        """A fresh optimizer that goes on from what :meth:`Session.saved` left."""

    @abstractmethod
    def undecayed(self, params: Arrays) -> Session:
        """A fresh optimizer whose weight decay is 0, where that is an argument."""

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
    return walked(session, steps, lambda step: session.step(run.at(step)))


def walked(session: Session, steps: Iterable[int], act: Callable[[int], Any]) -> Walk:
    """Parameters before and after each of these steps, which are taken by calling ``act``."""
    history = [session.params()]
    for step in steps:
        act(step)
        history.append(session.params())
    return Walk.of(history)
