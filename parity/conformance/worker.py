"""A thread that jobs are given to with a time limit, and that is left behind when one runs past it."""

from __future__ import annotations

import ctypes
import queue
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import IO

#: Seconds in a turn of waiting.
TURN = 0.05


class OutOfTime(BaseException):
    """Raised inside a job that has run past its limit; no ``except Exception`` of a target catches it."""


class Worker:
    """One thread for all jobs, since Hypothesis spends a fifth of a second on every new one."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="parity checks", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                job()
            except OutOfTime:
                return  # another thread has taken over
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def run(self, job: Callable[[], None], time_limit: float) -> None:
        """Run a job; raises TimeoutError, and ends the thread where it can be ended, if it takes longer."""
        future: Future[None] = Future()
        self._jobs.put((job, future))
        try:
            # In turns: a machine that stands still, as a virtual one may for minutes, uses up one of them and no more.
            for _ in range(max(1, round(time_limit / TURN))):
                if wait([future], TURN).done:
                    return future.result()
            raise TimeoutError
        finally:
            if not future.done():
                # A loop in Python is ended so; one in compiled code is left to itself.
                thread = ctypes.c_ulong(self._thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(OutOfTime))
                self._thread.join(0.2)


#: Where everything that this process prints goes, where it prints to a file of its own.
output: IO[bytes] | None = None

#: What compilers and the like tell of themselves.
_LOG = re.compile(r"^[IWEF]\d{4} |^WARNING: All log messages")


def printed() -> str:
    """What the process has printed so far, also past Python; nothing where it does not print to a file of its own."""
    if output is None:
        return ""
    output.seek(0)
    lines = output.read().decode(errors="replace").splitlines(keepends=True)
    return "".join(line for line in lines if not _LOG.match(line))


_free: list[Worker] = []


def run(job: Callable[[], None], time_limit: float) -> None:
    """Run a job in the thread that is free. Raises TimeoutError if it takes longer than that many seconds."""
    worker = _free.pop() if _free else Worker()
    worker.run(job, time_limit)
    _free.append(worker)
