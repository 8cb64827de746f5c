"""Optimizers that end, fill or hang the process that they run in."""

# each class says what it does

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch


class _Counting(torch.optim.SGD):
    """SGD that misbehaves at one of its steps."""

    at = 1

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == self.at:
            self.misbehave()
        return super().step(closure)

    def misbehave(self) -> None:
        """Whatever it does."""


class Exits(_Counting):
    """Ends the process with status 0 in its first step."""

    def misbehave(self) -> None:
        os._exit(0)


class ExitsLater(Exits):
    """The same at its third step."""

    at = 3


class Interrupts(_Counting):
    """Raises what a user's Ctrl-C raises."""

    def misbehave(self) -> None:
        raise KeyboardInterrupt


class Unspeakable(_Counting):
    """Raises an exception that raises when it is asked for its message."""

    def misbehave(self) -> None:
        class Silent(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        raise Silent


class Sleeps(_Counting):
    """Sleeps for an hour in its first step."""

    def misbehave(self) -> None:
        time.sleep(3600)


class SleepsWhenMade(torch.optim.SGD):
    """Sleeps for an hour when it is made."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        time.sleep(3600)
        super().__init__(params, lr=lr)


class CannotBeStopped(_Counting):
    """Spins, and catches what would stop it."""

    at = 3

    def misbehave(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass


class Fills(_Counting):
    """Takes a hundred gigabytes in its third step."""

    at = 3

    def misbehave(self) -> None:
        self.kept = [np.ones(2**27) for _ in range(100)]


class PrintsPastPython(_Counting):
    """Prints as code in C does."""

    def misbehave(self) -> None:
        os.write(1, b"from below\n")
