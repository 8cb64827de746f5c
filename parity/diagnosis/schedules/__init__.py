"""Schedules as black boxes, and the models that tell them apart."""

from .family import ScheduleFamily
from .run import CLOSED, TORCH, runner
from .words import SCHEDULES

__all__ = ["CLOSED", "SCHEDULES", "TORCH", "ScheduleFamily", "runner"]
