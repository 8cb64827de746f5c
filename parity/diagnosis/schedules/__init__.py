"""Schedules as black boxes, and the models that tell them apart."""

from .family import ScheduleFamily
from .run import CLOSED, TORCH, run_schedule
from .words import SCHEDULES

__all__ = ["CLOSED", "SCHEDULES", "TORCH", "ScheduleFamily", "run_schedule"]
