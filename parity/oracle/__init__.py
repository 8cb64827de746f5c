"""Every rule in high precision, written from its paper: what says who is nearer the truth.

:func:`replay` runs a case, :func:`judge` measures implementations against the truth.
"""

from . import averaged, matrices, moments, momentum, signs, squares  # fills the table  # noqa: F401
from .arithmetic import DIGITS, HighPrecision
from .definition import Definition, define, defined, definition
from .judge import Judged, judge, spacing
from .run import Stepper, Truth, replay

__all__ = [
    "DIGITS",
    "Definition",
    "HighPrecision",
    "Judged",
    "Stepper",
    "Truth",
    "define",
    "defined",
    "definition",
    "judge",
    "replay",
    "spacing",
]
