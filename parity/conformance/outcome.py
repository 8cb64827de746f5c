"""What a check is, what it comes to, and the report of all of them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .comparing import Failed

HERE = Path(__file__).parent

KINDS = ("jax", "torch")


@dataclass(frozen=True)
class Check:
    """One demand on an optimizer."""

    id: str
    demands: str  # what a conforming target does, in a sentence
    kinds: tuple[str, ...]  # jax, torch or both
    examples: int  # runs that Hypothesis draws beside the standard one; 0 for a check that makes its own data
    function: Callable[..., None]  # takes the target, and a run if the check draws one; raises through .comparing


def a_check(
    id: str, demands: str, *, kinds: tuple[str, ...] = KINDS, examples: int = 0
) -> Callable[[Callable[..., None]], Check]:
    """Make a function a check."""
    return lambda function: Check(id, demands, kinds, examples, function)


class Skip(BaseException):
    """Raised by a check that cannot be made on this target; the message says why."""


class Note(BaseException):
    """Raised by a check that found something to tell which is no failure."""


#: What terminals take for colours, as some messages have them.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
#: Letters of a message that are told.
LONGEST = 300


def told(error: BaseException) -> str:
    """What went wrong, in a sentence; for an exception of the target, where it was raised."""
    try:
        message = str(error)
    except BaseException:  # whatever the target's own exception does when it is asked
        message = "its message cannot be read"
    if isinstance(error, Failed):
        return _cut(message)
    message = _COLOURS.sub("", message)
    first_line = _cut((message.strip().splitlines() or [""])[0])
    text = f"raises {type(error).__name__}" + (f": {first_line}" if first_line else "")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(str(HERE))]
    own = [f for f in frames if not re.search(r"[/\\](jax|hypothesis)[/\\]", f.filename)]
    return text + (f" ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})" if own else "")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@dataclass(frozen=True)
class Result:
    """The outcome of one check.

    Attributes
    ----------
    check : str
    status : str
        ``passed``, ``failed``, ``expected failure``, ``skipped``, ``not run`` (for a failure of another check) or
        ``noted``.
    cause : str
        What is wrong, why it was skipped or not run, or what was noted, in a sentence; for an expected failure its
        declared reason.
    example : str
        For a failure, code to paste that shows it.
    compared : int
        Comparisons made.
    seconds : float
    ended : bool
        Whether it came back by itself.
    """

    check: str
    status: str
    cause: str = ""
    example: str = ""
    compared: int = 0
    seconds: float = 0.0
    ended: bool = True

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        told = {name: value for name, value in vars(self).items() if name != "ended"}
        return {**told, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class About:
    """What a report says of its target."""

    name: str
    kind: str
    notes: tuple[str, ...]
    expected: Mapping[str, str]  # check → reason: what is known of it
    trouble: str = ""  # why none of the checks can be made; empty where they can


class Report(Mapping[str, Result]):
    """Results by check id, in the order of the suite.

    It has no truth value, so that ``assert parity.check(...)`` cannot pass by accident: call :meth:`require`.
    """

    def __init__(self, target: str, kind: str, results: Mapping[str, Result], notes: tuple[str, ...] = ()) -> None:
        self.target, self.kind, self.notes = target, kind, notes
        self._results = dict(results)

    def __getitem__(self, check: str) -> Result:
        return self._results[check]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __bool__(self) -> bool:
        raise TypeError("a report is neither true nor false: call .require(), which raises if a check failed")

    @property
    def failures(self) -> list[Result]:
        """The checks that failed, stale expectations among them."""
        return [result for result in self.values() if result.status == "failed"]

    def require(self) -> None:
        """Raise AssertionError naming every failed check, its cause and its example.

        Raises
        ------
        AssertionError
            If a check failed, an expected failure is stale, or nothing passed at all.
        """
        failures = self.failures
        if failures:
            text = "\n\n".join(f"{r.check}: {r.cause}\n{r.example}".rstrip() for r in failures)
            raise AssertionError(f"{self.target} fails {len(failures)} of {len(self)} checks\n\n{text}")
        if all(result.status in ("skipped", "not run") for result in self.values()):
            raise AssertionError(f"{self.target}: no check was made")

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "target": self.target,
            "kind": self.kind,
            "notes": list(self.notes),
            "failed": len(self.failures),
            "results": [result.as_json() for result in self.values()],
        }

    def __repr__(self) -> str:
        lines = [f"{self.target} ({self.kind})"]
        lines += [f"  {r.status:16} {r.check:16} {r.cause}".rstrip() for r in self.values()]
        return "\n".join(lines)
