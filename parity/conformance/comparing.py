"""The one place where a check decides: every comparison is counted and asserts here, and none hands back a bool."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

#: Error of a coordinate, relative to its reach, that rounding may make in float64 over a run: eight steps of at most a
#: hundred roundings (2**-53 each), amplified at most a thousandfold by an average with decay 0.999. Stated for runs that
#: do the same arithmetic in another order, as eager and compiled code do.
ROUNDING = 8 * 100 * 1000 * 2.0**-53


class Path(dict[str, np.ndarray]):
    """Parameters before the first step and after each one, by tensor name, shape (steps + 1, *shape)."""

    @classmethod
    def of(cls, history: Sequence[Mapping[str, Any]]) -> Path:
        """From the parameters at each point in time."""
        return cls({name: np.stack([np.asarray(params[name]) for params in history]) for name in history[0]})

    def only(self, names: Iterable[str], steps: slice = slice(None)) -> Path:
        """Some of the tensors, over some of the steps."""
        return Path({name: self[name][steps] for name in names})


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


def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], cause: str) -> None:
    """Demand that two sets of arrays are bitwise the same (nan is nan), in names, shapes, dtypes and values."""
    verdict(a.keys() == b.keys(), f"{cause}: one has {_names(a, b)}, the other not")
    for name in a:
        left, right = np.asarray(a[name]), np.asarray(b[name])
        verdict(left.shape == right.shape, f"{cause}: {name} has shape {left.shape} and {right.shape}")
        verdict(left.dtype == right.dtype, f"{cause}: {name} is {left.dtype} and {right.dtype}")
        if left.size == 0:
            continue
        equal = (left == right) | ((left != left) & (right != right))
        verdict(
            bool(np.all(equal)),
            f"{cause}: {_where(name, left, right, ~equal, isinstance(a, Path))}" if not np.all(equal) else "",
        )


def close(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], cause: str, bound: float = ROUNDING) -> None:
    """Demand that two paths (arrays over steps) are within ``bound`` of each coordinate's reach.

    The reach is the largest value that a coordinate takes or the farthest it moves from its start.
    """
    verdict(a.keys() == b.keys(), f"{cause}: one has {_names(a, b)}, the other not")
    for name in a:
        left, right = np.asarray(a[name], np.float64), np.asarray(b[name], np.float64)
        verdict(left.shape == right.shape, f"{cause}: {name} has shape {left.shape} and {right.shape}")
        if left.size == 0:
            continue
        with np.errstate(invalid="ignore"):
            sizes = np.abs(np.stack([left, right, left - left[0], right - right[0]]))
            reach = np.max(np.where(np.isfinite(sizes), sizes, 0), axis=(0, 1))
            apart = ~((left == right) | (np.isnan(left) & np.isnan(right)) | (np.abs(left - right) <= bound * reach))
        verdict(
            not apart.any(), f"{cause}: {_where(name, left, right, apart, isinstance(a, Path))}" if apart.any() else ""
        )


def finite(a: Mapping[str, np.ndarray], cause: str) -> None:
    """Demand that every entry is a finite number."""
    for name, value in a.items():
        bad = ~np.isfinite(np.asarray(value, np.float64))
        if bad.size:
            verdict(
                not bad.any(), f"{cause}: {_where(name, value, None, bad, isinstance(a, Path))}" if bad.any() else ""
            )


def moved(path: Mapping[str, np.ndarray], cause: str = "gradients that are not 0 do not move any parameter") -> None:
    """Demand that a path is not constant: a run that stands still proves nothing."""
    verdict(any(np.any(np.asarray(value) != np.asarray(value)[0]) for value in path.values()), cause)


def _names(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, a.keys() ^ b.keys())))


def _where(name: str, a: Any, b: Any, bad: np.ndarray, steps: bool) -> str:
    """The first bad entry, with its values."""
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    values = f"{np.asarray(a)[index]!s}" + ("" if b is None else f" against {np.asarray(b)[index]!s}")
    when, inner = (f"after step {index[0]}, ", index[1:]) if steps and index else ("", index)
    return f"{when}{name}{list(inner) if inner else ''}: {values}"
