"""A thread that jobs are given to with a time limit, and that is left behind when one runs past it."""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable


class OutOfTime(BaseException):
    """Raised inside a job that has run past its limit; no ``except Exception`` of a target catches it."""


class Worker:
    """One thread for all jobs, since Hypothesis spends a fifth of a second on every new one."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="parity checks", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                job()
            except OutOfTime:
                return  # another thread has taken over
            finally:
                done.set()

    def finishes(self, job: Callable[[], None], time_limit: float) -> bool:
        """Run a job, and say whether it came to its end in time."""
        done = threading.Event()
        self._jobs.put((job, done))
        if done.wait(time_limit):
            return True
        # A loop in Python is ended so; one in compiled code is left to itself.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(OutOfTime))
        done.wait(0.2)
        return False


_current: list[Worker] = []


def finishes(job: Callable[[], None], time_limit: float) -> bool:
    """Run a job in the thread that is free, and say whether it came to its end in time."""
    if not _current:
        _current.append(Worker())
    worker = _current[0]
    if worker.finishes(job, time_limit):
        return True
    _current.remove(worker)
    return False
