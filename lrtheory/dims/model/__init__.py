"""Scale symmetries of a network: which of its tensors may be multiplied by what, and the loss stays the same."""

from .finding import symmetries
from .generator import Generator, Guard
from .result import Fixed, Symmetries, Unknown
from .verification import Verification

__all__ = ["Fixed", "Generator", "Guard", "Symmetries", "Unknown", "Verification", "symmetries"]
