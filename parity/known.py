"""Differences by design: where two correct implementations follow other definitions.

Each entry has its reason and source, and a test runs it: an entry whose difference is gone fails there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cases import Case, LrSchedule


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
        reason="optax corrects the bias before it takes the maximum, torch after",
        source="optax 0.2.8 _src/transform.py scale_by_amsgrad; google-deepmind/optax issue 1389",
        example=Case("adam", {"amsgrad": True}, {"lr": 0.1}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="optax-rmsprop-lr-in-buffer",
        backend="optax",
        applies=lambda case: (
            case.rule == "rmsprop" and case.numbers.get("momentum", 0) != 0 and case.schedule.name != "constant"
        ),
        reason="optax multiplies by the lr before the momentum buffer, torch after it: a moving lr tells them apart",
        source="optax 0.2.8 _src/alias.py rmsprop (scale_by_learning_rate, then trace)",
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
