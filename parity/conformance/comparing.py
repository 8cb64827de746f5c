"""The one place where a check decides: every comparison is counted and asserts here, and none hands back a bool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..compare import alike, reach

#: Error of a coordinate, relative to its reach, that rounding may make in float64 over a run: eight steps of at most a
#: hundred roundings (2**-53 each), amplified at most a thousandfold by an average with decay 0.999. Stated for runs that
#: do the same arithmetic in another order, as eager and compiled code do.
ROUNDING = 8 * 100 * 1000 * 2.0**-53


class Walk(dict[str, np.ndarray]):
    """Parameters before the first step and after each one, by tensor name, shape (steps + 1, *shape)."""

    @classmethod
    def of(cls, history: Sequence[Mapping[str, Any]]) -> Walk:
        """From the parameters at each point in time."""
        return cls({name: np.stack([np.asarray(params[name]) for params in history]) for name in history[0]})

    def only(self, names: Iterable[str], steps: slice = slice(None)) -> Walk:
        """Some of the tensors, over some of the steps."""
        return Walk({name: self[name][steps] for name in names})


class Failed(AssertionError):
    """A demand of a check that the target does not meet; the message is the cause."""


class _Tally:
    made = 0


_TALLY: ContextVar[_Tally | None] = ContextVar("comparisons made", default=None)


@contextlib.contextmanager
def counted() -> Iterator[_Tally]:
    """Count the comparisons made in the block."""
    tally = _Tally()
    token = _TALLY.set(tally)
    try:
        yield tally
    finally:
        _TALLY.reset(token)


def verdict(holds: bool, cause: str) -> None:
    """Count one comparison, and raise its cause unless it holds: every other function here ends in this one."""
    tally = _TALLY.get()
    if tally is not None:
        tally.made += 1
    if not holds:
        raise Failed(cause)


def demand(holds: Any, cause: str) -> None:
    """Demand a single fact."""
    verdict(bool(holds), cause)


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], cause: str) -> None:
    """Demand that two sets of arrays are bitwise the same (nan is nan), in names, shapes, dtypes and values."""
    for name, a, b in _pairs(found, expected, cause):
        verdict(a.dtype == b.dtype, f"{cause}: {name} is {a.dtype} instead of {b.dtype}")
        if a.size:
            _everywhere(alike(a, b), found, name, b, cause)


def close(
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    cause: str,
    bound: float = ROUNDING,
    besides: float | Mapping[str, Any] = 0.0,
) -> None:
    """Demand that two walks are within ``bound`` of each coordinate's reach and ``besides``, an absolute error.

    The reach is the largest value that a coordinate takes or the farthest it moves from its start.
    """
    for name, a, b in _pairs(found, expected, cause):
        if a.size:
            more = besides[name] if isinstance(besides, Mapping) else besides
            with np.errstate(invalid="ignore"):
                _everywhere(alike(a, b) | (np.abs(a - b) <= bound * reach(a[0], a, b) + more), found, name, b, cause)


def stands(walk: Walk, cause: str) -> None:
    """Demand that nothing moves. A value that was rounded to float32 once, by an optimizer that works there, has not moved."""
    for name, value in walk.items():
        start = np.broadcast_to(value[:1], value.shape)
        rounded = (value == value.astype(np.float32)) & (np.abs(value - start) <= 2.0**-22 * np.abs(start))
        _everywhere(alike(value, start) | rounded, walk, name, start, cause)


def finite(found: Mapping[str, np.ndarray], cause: str) -> None:
    """Demand that every entry is a finite number."""
    for name, value in found.items():
        if value.size:
            _everywhere(np.isfinite(np.asarray(value, np.float64)), found, name, None, cause)


def moved(walk: Mapping[str, np.ndarray], cause: str = "") -> None:
    """Demand that a walk is not constant: a run that stands still proves nothing."""
    steps = len(next(iter(walk.values()), ())) - 1
    still = cause or f"gradients that are not 0 do not move any parameter in {steps} steps"
    verdict(any(np.any(np.asarray(value) != np.asarray(value)[0]) for value in walk.values()), still)


def _pairs(found: Any, expected: Any, cause: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    names = ", ".join(sorted(map(str, found.keys() ^ expected.keys())))
    verdict(not names, f"{cause}: one has {names}, the other not")
    for name in found:
        a, b = np.asarray(found[name]), np.asarray(expected[name])
        verdict(a.shape == b.shape, f"{cause}: {name} has shape {a.shape} instead of {b.shape}")
        yield name, a, b


def _everywhere(
    holds: np.ndarray, found: Mapping[str, Any], name: str, expected: np.ndarray | None, cause: str
) -> None:
    """Demand that it holds of every entry; the cause names the first of which it does not, with its values."""
    bad = np.argwhere(~np.asarray(holds))
    if not len(bad):
        verdict(True, "")
        return
    index = tuple(int(i) for i in bad[0])
    values = str(np.asarray(found[name])[index]) + ("" if expected is None else f" instead of {expected[index]!s}")
    walking = isinstance(found, Walk) and index != ()
    when, inner = (f"after step {index[0]}, ", index[1:]) if walking else ("", index)
    verdict(False, f"{cause}: {when}{name}{list(inner) if inner else ''}: {values}")
