"""The conformance suite for anybody's optimizer."""

from .checking import check
from .execute import TIME_LIMIT, rerun
from .expected import EXPECTED
from .outcome import Note, Report, Result, Skip
from .pytest_checks import parametrize_with_checks
from .runs import Run
from .suite import checks
from .targets import TargetError

__all__ = [
    "EXPECTED",
    "TIME_LIMIT",
    "Note",
    "Report",
    "Result",
    "Run",
    "Skip",
    "TargetError",
    "check",
    "checks",
    "parametrize_with_checks",
    "rerun",
]
