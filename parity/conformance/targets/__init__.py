"""What can be checked, in one form: something that starts runs, takes steps and saves its state."""

from lrtheory.dims.target import TargetError

from .resolve import resolve
from .target import Session, Target, follow, going_on, walked

__all__ = ["Session", "Target", "TargetError", "follow", "going_on", "resolve", "walked"]
