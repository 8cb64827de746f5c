"""Several calls of a compiled program at once on the cores of one CPU.

XLA works through most of a scan over steps on one core, however many there are. Tiles do not depend on each other, so that
they may run beside each other in threads: a call leaves Python's lock. Each is computed as it would be alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def in_order(prepared: Iterable[Callable[[], T]], workers: int) -> Iterator[T]:
    """The results of calls, in their order, while as many as there are workers run ahead.

    Parameters
    ----------
    prepared : iterable of functions without arguments
        Drawn in the caller's thread, whose JAX settings (such as ``jax.enable_x64``) hold there alone, and no more than one
        of them ahead of those that run, so that their arguments fit the memory.
    workers : how many run at a time; with 1 there is no other thread
    """
    if workers == 1:
        for call in prepared:
            yield call()
        return
    running: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="sweep") as pool:
        try:
            for call in prepared:
                running.append(pool.submit(call))
                if len(running) > workers:  # one waits, so that no worker does
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for waiting in running:
                waiting.cancel()
