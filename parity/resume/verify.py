"""A training run uninterrupted, resumed and cold, and which piece of state makes the difference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrtheory.words import listed

from ..compare import Difference, compare
from ..trajectory import Trajectory
from .pieces import differing, equal, put, taken, with_part
from .training import Random, Training, array, copied

#: Pieces that are the weights, under the names that are usual; others are found by what they change.
WEIGHTS = ("model", "params", "weights", "net", "module")


@dataclass(frozen=True)
class Resume:
    """What came of it.

    Attributes
    ----------
    steps, at : int
    resumed : Difference or None
        Where the resumed run first differs from the uninterrupted one; ``None``: nowhere, bit for bit.
    largest : float
        Its largest difference, over the reach of a coordinate.
    cold : Difference or None
        Where a run differs that has the weights alone; ``None``: the check could not have failed.
    repeated : Difference or None
        Where a second uninterrupted run differs; unless ``None``, no resume can be the same bit for bit.
    lost : tuple of str
        What is not as it was right after loading.
    makes_the_difference : tuple of str
        Of that, what makes the resumed run equal once it is put back: one piece alone where there is one, else those that are
        needed together.
    alone : mapping of piece to Difference or None
        What is left of the difference when that piece alone is put back.
    without : mapping of piece to Difference or None
        Of a resume that is equal: where it differs when this piece is as new; ``None``: the piece was not seen to act.
    notes : tuple of str
    """

    steps: int
    at: int
    resumed: Difference | None
    largest: float
    cold: Difference | None
    repeated: Difference | None
    lost: tuple[str, ...] = ()
    makes_the_difference: tuple[str, ...] = ()
    alone: Mapping[str, Difference | None] = field(default_factory=dict)
    without: Mapping[str, Difference | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether the resumed run is the uninterrupted one, bit for bit, in a check that could have failed."""
        return self.resumed is None and self.cold is not None

    def require(self) -> None:
        """Raise AssertionError with what is wrong, unless the resumed run is equal."""
        if not self.equal:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        ran = f"resumed after {self.at} of {self.steps} steps"
        if self.resumed is None:
            lines = [f"{ran}, the run is the uninterrupted one, bit for bit"]
        else:
            lines = [f"{ran}, the run is another: by {self.largest:.1e} at most, first at {self.resumed}"]
        if self.makes_the_difference:
            verb = "makes" if len(self.makes_the_difference) == 1 else "together make"
            lines.append(
                f"{listed(self.makes_the_difference)} {verb} the difference: with it put back, the runs are equal"
            )
        elif self.resumed is not None and self.lost:
            lines.append(f"not as before after loading: {listed(self.lost)}; put back, the runs still differ")
        elif self.resumed is not None:
            lines.append(
                "all pieces are as before after loading: what differs is in none of them, such as the data, a generator, or gradients half gathered"
            )
        for piece, left in self.without.items():
            lines.append(
                f"without {piece}: "
                + ("nothing changes; it was not seen to act" if left is None else f"differs from step {left.step} on")
            )
        lines.append(
            "cold, it does not differ: this check could not have failed"
            if self.cold is None
            else f"cold, it differs from step {self.cold.step} on"
        )
        if self.repeated is not None:
            lines.append(
                f"two uninterrupted runs differ already, first at {self.repeated}: the training is not deterministic"
            )
        return "\n".join([*lines, *self.notes])


def verify_resume(build: Callable[[], Training], steps: int, at: int) -> Resume:
    """Run a training uninterrupted, resumed and cold, and find which piece of state makes a difference.

    Parameters
    ----------
    build : function without arguments
        Makes the training anew, as a new process would: an object with ``step(i)``, ``state()``, ``load(state)`` and ``params()``
        (:class:`parity.resume.Training`). There are some ready: ``TorchLoop``, ``PureLoop`` (optax, or any functions),
        ``LightningLoop`` and ``TrainerLoop``.
    steps : int
        Of the whole run.
    at : int
        After how many of them it is saved; at least 7 are left.

    Returns
    -------
    Resume
        ``.equal``, ``.require()``, and in words ``str()``.

    Raises
    ------
    ValueError
        For fewer than 7 steps after ``at``, or a training without parameters.
    TypeError
        For what is no training.

    Notes
    -----
    The generators of Python, NumPy and torch are set to one state before each ``build()``, and put back at the end. Parameters
    are kept after each step: take a small model.
    """
    if not 0 < at < steps or steps - at < 7:
        raise ValueError(
            f"at={at} of steps={steps}: save after at least 1 step, and leave at least 7 to tell runs apart"
        )
    generators = Random()
    start = generators.state_dict()
    runs = _Runs(build, steps, at, start)
    try:
        return runs.verified()
    finally:
        generators.load_state_dict(start)


class _Runs:
    """The runs of one training."""

    def __init__(self, build: Callable[[], Training], steps: int, at: int, start: Any) -> None:
        self.build, self.steps, self.at, self.start = build, steps, at, start
        self.notes: list[str] = []
        self.saved: Any = None
        self.truth: dict[str, Any] = {}
        self.whole = self._uninterrupted(save=True)

    def verified(self) -> Resume:
        again = self._uninterrupted(save=False)
        repeated = self._first(again)
        resumed, lost = self._resumed(lambda pieces: None)
        first, largest = self._first(resumed), self._largest(resumed)
        cold = self._first(self._cold())
        alone, needed, without = {}, (), {}
        if first is not None:
            alone, needed = self._searched(lost)
        else:
            without = self._left_out()
        return Resume(
            self.steps, self.at, first, largest, cold, repeated, tuple(part for _, part in lost), needed, alone, without,
            tuple(self.notes),
        )  # fmt: skip

    # --- runs ---

    @contextlib.contextmanager
    def _made(self) -> Iterator[Any]:
        Random().load_state_dict(self.start)
        made: Any = self.build()
        if missing := [n for n in ("step", "state", "load", "params") if not callable(getattr(made, n, None))]:
            raise TypeError(
                f"build() returned a {type(made).__name__} without {listed(missing)}(): give an object with step(i), state(), "
                "load(state) and params(), such as parity.resume.TorchLoop"
            )
        try:
            yield made
        finally:
            if hasattr(made, "close"):
                made.close()

    def _pieces(self, training: Any) -> dict[str, Any]:
        own = training.pieces() if hasattr(training, "pieces") else {}
        return {**own, "random numbers": Random()}

    def _uninterrupted(self, save: bool) -> Trajectory:
        with self._made() as training:
            for i in range(self.at):
                training.step(i)
            here = _params(training)
            if save:
                self.truth = taken(self._pieces(training))
                self.saved = copied(training.state())
                Random().load_state_dict(self.truth["random numbers"])  # saving is no step
            return self._gone_on("uninterrupted", training, here)

    def _resumed(self, mend: Callable[[dict[str, Any]], None]) -> tuple[Trajectory, list[tuple[str, str]]]:
        """Loaded as the training loads, and mended; with what is not as it was before that."""
        with self._made() as training:
            training.load(copied(self.saved))
            pieces = self._pieces(training)
            lost = differing(pieces, self.truth)
            mend(pieces)
            return self._gone_on("resumed", training, _params(training)), lost

    def _gone_on(self, name: str, training: Training, here: dict[str, np.ndarray]) -> Trajectory:
        kept = [here]
        for i in range(self.at, self.steps):
            training.step(i)
            kept.append(_params(training))
        params = {n: np.stack([each[n] for each in kept]) for n in here if here[n].dtype.kind not in "iub"}
        return Trajectory(name, params, [{}] * len(kept), np.zeros(len(kept) - 1))

    def _cold(self) -> Trajectory:
        """With the weights alone."""
        with self._made() as training:
            pieces = self._pieces(training)
            before = _params(training)
            for name in [n for n in pieces if n != "random numbers"]:
                held = taken({name: pieces[name]})[name]
                put(pieces[name], self.truth[name])
                if name not in WEIGHTS and equal(_params(training), before):
                    put(pieces[name], held)
                before = _params(training)
            if len(pieces) == 1:
                self._weights_alone(training)
            return self._gone_on("resumed", training, _params(training))

    def _weights_alone(self, training: Training) -> None:
        """By the training's own load, where it takes a part of what was saved."""
        names = [n for n in WEIGHTS if isinstance(self.saved, Mapping) and n in self.saved]
        try:
            training.load({name: copied(self.saved[name]) for name in names})
        except (KeyError, TypeError, AttributeError, ValueError):
            self.notes.append("cold is a run from the start: load() takes no weights alone; give the training pieces()")

    # --- which piece ---

    def _searched(self, lost: list[tuple[str, str]]) -> tuple[dict[str, Difference | None], tuple[str, ...]]:
        """What is left of the difference with each piece put back, and which are needed."""
        alone = {part: self._first(self._resumed(self._mending([(name, part)]))[0]) for name, part in lost}
        if equal := [part for part, left in alone.items() if left is None]:
            return alone, tuple(equal[:1])
        if len(lost) < 2 or self._first(self._resumed(self._mending(lost))[0]) is not None:
            return alone, ()
        needed = list(lost)
        for each in lost:
            rest = [other for other in needed if other != each]
            if rest and self._first(self._resumed(self._mending(rest))[0]) is None:
                needed = rest
        return alone, tuple(part for _, part in needed)

    def _mending(self, chosen: list[tuple[str, str]]) -> Callable[[dict[str, Any]], None]:
        def mend(pieces: dict[str, Any]) -> None:
            for name in dict.fromkeys(name for name, _ in chosen):
                state = taken({name: pieces[name]})[name]
                for _, part in (entry for entry in chosen if entry[0] == name):
                    state = with_part(state, self.truth[name], name, part)
                put(pieces[name], state)

        return mend

    def _left_out(self) -> dict[str, Difference | None]:
        """Of each piece, what it is for."""
        with self._made() as training:
            new = taken(self._pieces(training))
        return {
            name: self._first(self._resumed(lambda pieces, name=name: put(pieces[name], new[name]))[0])
            for name in self.truth
            if name not in WEIGHTS
        }

    # --- differences ---

    def _first(self, other: Trajectory) -> Difference | None:
        """The first step at which a run is not the uninterrupted one, counted in the whole run."""
        for name, values in self.whole.params.items():
            here, there = values[0], other.params[name][0]
            if here.tobytes() != there.tobytes():
                at = tuple(int(i) for i in np.argwhere(here != there)[0]) if here.ndim else ()
                return Difference(self.at, name, at, float(here[at]), float(there[at]), np.inf, np.inf)
        found = compare(self.whole, other).first_difference(0.0)
        return None if found is None else found._replace(step=found.step + self.at)

    def _largest(self, other: Trajectory) -> float:
        started = all(v[0].tobytes() == other.params[n][0].tobytes() for n, v in self.whole.params.items())
        return compare(self.whole, other).largest_error if started else np.inf


def _params(training: Training) -> dict[str, np.ndarray]:
    found = {name: array(value) for name, value in training.params().items()}
    if not found:
        raise ValueError("the training has no parameters: params() is empty")
    return found
