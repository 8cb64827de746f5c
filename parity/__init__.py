"""The same runs in other frameworks, and what differs: evidence for what lrtheory states."""

from . import oracle
from .cases import Case, LrSchedule, Stream
from .compare import GATES, Comparison, Difference, compare
from .conformance import check, parametrize_with_checks
from .diagnosis import Diagnosis, diagnose
from .drivers import BACKENDS, replay
from .resume import verify_resume
from .table import Inexpressible, Refused
from .trajectory import Trajectory

__all__ = [
    "BACKENDS",
    "GATES",
    "Case",
    "Comparison",
    "Diagnosis",
    "Difference",
    "Inexpressible",
    "LrSchedule",
    "Refused",
    "Stream",
    "Trajectory",
    "check",
    "compare",
    "diagnose",
    "oracle",
    "parametrize_with_checks",
    "replay",
    "verify_resume",
]
