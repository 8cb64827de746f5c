"""Differences by design: where two correct implementations follow other definitions.

Reason and source of an entry are what diagnosis found and wrote down (:mod:`parity.differences`); here stands which cases
meet it. A test runs each: an entry whose difference is gone fails there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cases import Case, LrSchedule
from .differences import found


@dataclass(frozen=True)
class KnownDifference:
    """One difference.

    Attributes
    ----------
    backend : str
        The implementation that differs from torch and from us.
    applies : callable
        Whether a case meets it.
    reason, source : str
    example : Case
        A run that shows it, by more than ``at_least`` of the distance travelled.
    """

    id: str
    backend: str
    applies: Callable[[Case], bool]
    reason: str
    source: str
    example: Case
    at_least: float


KNOWN: tuple[KnownDifference, ...] = (
    KnownDifference(
        id="optax-amsgrad-order",
        backend="optax",
        applies=lambda case: case.rule == "adam" and bool(case.options.get("amsgrad")),
        reason=found()["optax-amsgrad"].sentence,
        source=found()["optax-amsgrad"].source,
        example=Case("adam", {"amsgrad": True}, {"lr": 0.1}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="optax-rmsprop-lr-in-buffer",
        backend="optax",
        applies=lambda case: (
            case.rule == "rmsprop" and case.numbers.get("momentum", 0) != 0 and case.schedule.name != "constant"
        ),
        reason=found()["optax-rmsprop-momentum"].sentence,
        source=found()["optax-rmsprop-momentum"].source,
        example=Case("rmsprop", {}, {"lr": 0.01, "momentum": 0.9}, schedule=LrSchedule("moving")),
        at_least=1e-2,
    ),
)


def known_differences() -> tuple[KnownDifference, ...]:
    """Every entry."""
    from .known_keras import KERAS  # its entries are made of the class above

    return KNOWN + KERAS


def known_difference(case: Case, backend: str) -> KnownDifference | None:
    """The entry that explains why a backend differs on a case, if there is one."""
    return next((entry for entry in known_differences() if entry.backend == backend and entry.applies(case)), None)
