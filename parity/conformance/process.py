"""Checks in a process of their own, which an optimizer may end, fill or hang without ending the report."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import execute, suite, worker
from .expected import expected_for
from .outcome import About, Result
from .targets import Target, TargetError

#: Bytes that a target may take beyond what the frameworks have: more raises MemoryError where the system can hold to it.
MEMORY_LIMIT = 4 * 2**30

#: Seconds in which the process must have started and imported its frameworks, on a busy machine.
STARTING = 120.0

#: Seconds after the time limit in which it may still tell that it was passed.
GRACE = 5.0


class Here:
    """Checks of one target in this process."""

    def __init__(self, target: Any, given: Mapping[str, Any]) -> None:
        self._target: Target = execute.prepare(target, **given)
        of = self._target
        self.about = About(of.name, of.kind, of.notes, dict(expected_for(of)))

    def execute(self, id: str, time_limit: float) -> Result:
        """One check."""
        return execute.execute(suite.get(self._target.kind, id), self._target, time_limit=time_limit)

    def close(self) -> None:
        """Nothing is left behind."""


class Elsewhere:
    """Checks of one target in a process of its own, which is started anew where it ends or hangs."""

    def __init__(self, target: str, given: Mapping[str, Any]) -> None:
        self._request = target, dict(given)
        self.about = self._start()

    def execute(self, id: str, time_limit: float) -> Result:
        """One check; that the process ends is its failure."""
        started = time.monotonic()
        if self._process is None:
            self._start()
        found = self._ask(("execute", id, time_limit), time_limit + GRACE)
        if isinstance(found, Result):
            if not found.ended:
                self.close()
            return found
        cause = found or f"did not finish within {time_limit:g} s"
        code = f"from parity.conformance import rerun\nrerun({self._request[0]!r}, {id!r})"
        return Result(id, "failed", cause, code, seconds=time.monotonic() - started, ended=False)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._process = None

    def _start(self) -> About:
        target, given = self._request
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._replies), daemon=True).start()
        if self._ask(("warm", target), STARTING) != "warm":
            raise TargetError(f"no process for checks could be started with {sys.executable}")
        limit = given.get("time_limit", execute.TIME_LIMIT)
        found = self._ask(("prepare", target, given), 2 * limit + GRACE)
        if isinstance(found, About):
            return found
        self.close()
        if isinstance(found, TargetError):
            raise found
        kind = "jax" if target.startswith("optax.") else "torch"
        cause = f"making it and its first step: {found or f'did not finish within {limit:g} s'}"
        return About(target, kind, (), {}, trouble=cause)

    def _ask(self, request: Any, time_limit: float) -> Any:
        """The reply; in words how the process ended, or ``None`` where it did not come in time."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
        # In turns, as the worker waits.
        for _ in range(max(1, round(time_limit / worker.TURN))):
            with contextlib.suppress(queue.Empty):
                reply = self._replies.get(timeout=worker.TURN)
                if reply is not None:
                    return reply
                status = self._process.wait()
                self.close()
                return f"ends the process ({_ended(status)})"
        self.close()
        return None


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _read(pipe: Any, replies: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            replies.put(pickle.load(pipe))
    except Exception:  # closed, or what was written is none of ours
        replies.put(None)


def serve() -> None:
    """Answer requests on the standard streams; what the target prints or reads goes elsewhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    worker.output = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(worker.output.fileno(), 1)
    os.dup2(worker.output.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked ends it
    here: Here | None = None
    while True:
        try:
            what, *rest = pickle.load(requests)
        except EOFError:
            os._exit(0)  # a thread may hang
        if what == "warm":
            execute.warm(*rest)
            reply: Any = what
        elif what == "prepare":
            _limit_memory()
            try:
                here = Here(*rest)
                reply = here.about
            except TargetError as error:
                reply = TargetError(str(error))
        else:
            assert here is not None
            reply = here.execute(*rest)
        pickle.dump(reply, replies)
        replies.flush()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
