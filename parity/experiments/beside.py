"""Work that a second process begins while the first is busy, and that the first helps to finish."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

Collect = Callable[[Callable[[str, float], None]], list[Any]]


@contextlib.contextmanager
def begun(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, processes: int) -> Iterator[Collect]:
    """Begin calls in another process; what is yielded gives all results in order.

    Parameters
    ----------
    function : callable
        A function of a module, whose arguments and result can be pickled, and of which no call depends on another.
    calls : sequence of tuple
        Its arguments.
    processes : int
        1 makes every call where the results are asked for.

    Yields
    ------
    collect : progress -> list
        Makes the calls that the other process has not begun, from the last on, and waits for those it has; ``progress``
        is told the arguments of a call and the share that is done.
    """
    if processes < 2:
        yield lambda progress: _collected(function, calls, [], progress)
        return
    # A new interpreter: a copy of this one would share the locks of XLA's and torch's threads.
    with ProcessPoolExecutor(processes - 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(function, *arguments) for arguments in calls]
        try:
            yield lambda progress: _collected(function, calls, futures, progress)
        finally:
            for future in futures:
                future.cancel()


def _collected(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    futures: list[Future],
    progress: Callable[[str, float], None],
) -> list[Any]:
    results: dict[int, Any] = {}
    for index in reversed(range(len(calls))):
        if futures and not futures[index].cancel():
            continue
        progress(_words(calls[index]), len(results) / len(calls))
        results[index] = function(*calls[index])
    for index in range(len(calls)):
        if index not in results:
            progress(_words(calls[index]), len(results) / len(calls))
            try:
                results[index] = futures[index].result()
            except BrokenProcessPool:  # killed for memory, say: the work is done here
                results[index] = function(*calls[index])
    return [results[index] for index in range(len(calls))]


def _words(arguments: tuple[Any, ...]) -> str:
    return " ".join(str(argument) for argument in arguments if isinstance(argument, str))
