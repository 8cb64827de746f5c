"""Work that a second process begins while the first is busy, and that the first helps to finish."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

Collect = Callable[[Callable[[str, float], None]], list[Any]]


class Job(NamedTuple):
    """A function of a module, its arguments, and what it does in words; arguments and result can be pickled."""

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@contextlib.contextmanager
def begun(calls: Sequence[Job], *, processes: int) -> Iterator[Collect]:
    """Begin calls, none of which depends on another, in another process; with one, all are made where they are asked for.

    What is yielded gives all results in order: it makes the calls that the other process has not begun, from the last on, and
    waits for those it has; its argument is told what a call does and the share that is done.
    """
    if processes < 2:
        yield lambda progress: _collected(calls, [], progress)
        return
    # A new interpreter: a copy of this one would share the locks of XLA's and torch's threads.
    with ProcessPoolExecutor(processes - 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(call.function, *call.arguments) for call in calls]
        try:
            yield lambda progress: _collected(calls, futures, progress)
        finally:
            for future in futures:
                future.cancel()


def _collected(calls: Sequence[Job], futures: list[Future], progress: Callable[[str, float], None]) -> list[Any]:
    results: dict[int, Any] = {}

    def here(index: int) -> None:
        progress(calls[index].what, len(results) / len(calls))
        results[index] = calls[index].function(*calls[index].arguments)

    for index in reversed(range(len(calls))):
        if not futures or futures[index].cancel():
            here(index)
    for index in range(len(calls)):
        if index not in results:
            progress(calls[index].what, len(results) / len(calls))
            try:
                results[index] = futures[index].result()
            except BrokenProcessPool:  # killed for memory, say: the work is done here
                here(index)
    return [results[index] for index in range(len(calls))]
