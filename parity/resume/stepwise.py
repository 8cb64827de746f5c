"""A loop that is not ours, taken step by step: it runs in a thread, and waits where it is told to."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any


class Stopped(BaseException):
    """Ends a loop that is not run to its end."""


class Stepwise:
    """A function that calls :meth:`wait` at each place where it may be looked at; one thread runs at a time."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._go, self._here = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self._stopped = self.over = False

    def _run(self) -> None:
        try:
            self._function()
        except Stopped:
            pass
        except BaseException as error:
            self._error = error
        self.over = True
        self._here.release()

    def wait(self) -> None:
        """Called in the function: until :meth:`advance` is called again."""
        self._here.release()
        self._go.acquire()
        if self._stopped:
            raise Stopped

    def advance(self) -> None:
        """Run to the next place, or to the end.

        Raises
        ------
        RuntimeError
            When the function has ended before.
        """
        if self.over:
            raise RuntimeError("the training has ended: let it run for more steps than are asked for")
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._here.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End it where it is."""
        if self._thread.ident is not None and not self.over:
            self._stopped = True
            self._go.release()
            self._thread.join(60)


class Stepped:
    """A training of a trainer, as :class:`parity.resume.Training`: its callbacks say where it may be looked at."""

    def _stepped(self, model: Callable[[], Any], train: Callable[[str | None], object]) -> None:
        """``train(path)`` goes on from what was saved there, or begins."""
        self._loop, self._begun = Stepwise(lambda: train(self._from)), False
        self._model: Callable[[], Any] = model
        self._from: str | None = None
        self._folder = tempfile.TemporaryDirectory()

    def _at_first_step(self) -> None:
        """Called before each step; waits before the first."""
        if not self._begun:
            self._begun = True
            self._loop.wait()

    def _begin(self) -> None:
        if not self._begun:
            self._loop.advance()

    def params(self) -> Mapping[str, Any]:
        """Of the model, buffers among them."""
        self._begin()
        return self._model().state_dict()

    def step(self, i: int) -> None:
        """Let the trainer take its next step."""
        self._begin()
        self._loop.advance()

    def close(self) -> None:
        """End the training."""
        self._loop.close()
        self._folder.cleanup()
