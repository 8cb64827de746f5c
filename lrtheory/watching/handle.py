"""The handle of a run that is being watched, or was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .loggers import Log
from .record import Writer

if TYPE_CHECKING:
    from .figures import Run
    from .findings import Finding
    from .table import Table


class Watch:
    """A watched run: a context manager, whose :meth:`close` ends the recording and leaves the training as it is.

    What is asked of it is worked out from the record on disk by JAX on the CPU: in a process of its own where JAX might take
    hold of an accelerator here, and in this one where it cannot.

    Attributes
    ----------
    out : Path or None
        Directory of the record; ``None`` in a process that writes none.
    """

    def __init__(self, writer: Writer | None, log: Log | None = None) -> None:
        self._writer = writer
        self.out = None if writer is None else writer.out
        self.closed = False
        self.closing: Mapping[str, Any] = {}
        self._follower = None
        if log is not None and writer is not None:
            self._follower = Follower(writer.out, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def measured(self) -> None:
        """Hand to ``log`` what has been worked out by now: called by recorders after a measured step."""
        if self._follower is not None:
            self._follower.deliver()

    def close(self) -> None:
        """End the recording. Closing twice is closing once."""
        if self.closed:
            return
        self.closed = True
        if self._writer is not None:
            self._writer.close(**self._end())
        if self._follower is not None:
            self._follower.finish()

    def _end(self) -> Mapping[str, Any]:
        """Fields of the record's last line."""
        return self.closing

    def run(self) -> Run:
        """All figures of the steps measured so far.

        Raises
        ------
        RuntimeError
            In a process that writes no record, as all but the first of a distributed run.
        """
        if self.out is None:
            raise RuntimeError("this process writes no record: ask the watch of the first process (rank 0)")
        return worked_out(self.out)

    def summary(self) -> Table:
        """A row for each tensor, worst first where something was found."""
        from .table import table_of

        return table_of(self.run())

    def findings(self) -> list[Finding]:
        """What should be set otherwise, each with its evidence and the line to paste."""
        from .findings import findings_of

        return findings_of(self.run())

    def report(self) -> Path:
        """Write ``summary.json`` and the page, ``index.html``, beside the record; say where the page is.

        Raises
        ------
        ModuleNotFoundError
            Without the packages that draw, which the ``watch`` extra has. ``summary.json`` is written by then.
        """
        from .saved import save

        run = self.run()
        save(run)
        from .page import write_page

        return write_page(run)


def worked_out(out: Path) -> Run:
    """The figures of a record."""
    if _alone_on_cpu():
        from .analysis import analyse
        from .record import Record

        return analyse(Record(out))
    subprocess.run([sys.executable, "-m", "lrtheory.watching", str(out)], env=_environment(), check=True)
    from .saved import load

    return load(out)


def _alone_on_cpu() -> bool:
    """Whether JAX can only run on the CPU in this process: it was told so, or no other platform is installed."""
    import importlib.util
    from importlib.metadata import entry_points

    platforms = getattr(getattr(sys.modules.get("jax"), "config", None), "jax_platforms", None)
    if (platforms or os.environ.get("JAX_PLATFORMS")) == "cpu":
        return True
    return not (entry_points(group="jax_plugins") or any(map(importlib.util.find_spec, ("jax_plugins", "libtpu"))))


def _environment() -> dict[str, str]:
    paths = [p for p in sys.path if p]
    return {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(paths)}


class Follower:
    """A process that works out figures while the run goes on, and a thread that takes them."""

    def __init__(self, out: Path, log: Log) -> None:
        import queue
        import threading

        self._log = log
        self._rows: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lrtheory.watching", str(out), "--follow"],
            env=_environment(),
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._rows.put(json.loads(line))

    def deliver(self) -> None:
        """Log, in the calling thread, what has come."""
        while not self._rows.empty():
            row = self._rows.get()
            self._log(row["figures"], row["step"])

    def finish(self) -> None:
        """Let the process read to the end, and log the rest."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._thread.join()
        self._process.stdout.close()
        self.deliver()
