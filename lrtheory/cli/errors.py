"""What is said when a command cannot run: one line on stderr, and an exit status."""

from __future__ import annotations

import _thread
import contextlib
import errno
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "torch": "torch",
    "optax": "optax",
    **dict.fromkeys(("keras", "h5py"), "keras"),
    "orbax": "frameworks",
    "hypothesis": "test",
    **dict.fromkeys(("altair", "vl_convert", "jinja2", "markupsafe", "sklearn"), "report"),
}
"""The extra that brings each top-level package."""


class BadInput(Exception):
    """Something the user gave cannot be used; the message says what, and what would do."""


class NotWritten(Exception):
    """All was measured, but the report could not be written."""


@contextlib.contextmanager
def input_errors(*kinds: type[Exception]) -> Iterator[None]:
    """What is raised of these kinds is about what the user gave."""
    try:
        yield
    except kinds as error:
        raise BadInput(str(error)) from error


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Stdout that shows ``?`` for what its encoding lacks, and of which one line says that it is full."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not is_unicode(stream):
            stream.reconfigure(errors="replace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO) or error.filename:
            raise
        complain(f"the output could not be written: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of it goes nowhere
        sys.exit(FAILED)


def is_unicode(stream: Any) -> bool:
    """Whether all text can be written to it."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def complain(message: object) -> None:
    """One line on stderr."""
    print(f"lrtheory: {' '.join(str(message).split())}", file=sys.stderr)


def missing_package(error: ModuleNotFoundError, command: str | None = None) -> int:
    """Name the extra that brings the package, or let the error through if no extra does.

    ``lrtheory report`` needs all of its own extra, and is told so at the first package that is missing.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        raise error
    extra = "report" if command == "report" else EXTRAS[package]
    complain(f"this needs {package}, which is not installed: pip install 'lrtheory[{extra}]'")
    return BAD_INPUT


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends what runs also where it falls into a callback, in which Python ignores every exception: it is sent again."""
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            return before(ignored)
        again = _thread.interrupt_main if os.name == "nt" else lambda: os.kill(os.getpid(), signal.SIGINT)
        timer = threading.Timer(0.1, again)  # when the callback is over
        timer.daemon = True
        timer.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def check_directory(out: Path, option: str) -> None:
    """Make a directory before anything is measured, and refuse one that cannot be made or written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"{option} {out} is or lies under a file; give a directory") from error
    except OSError as error:
        raise BadInput(f"{option} {out} cannot be written to ({error.strerror}); give another directory") from error
