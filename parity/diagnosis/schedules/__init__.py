"""Schedules as black boxes, and the models that tell them apart."""

from . import plateau, run
from .family import ScheduleFamily, past
from .run import CLOSED
from .words import SCHEDULES, after_warmup

__all__ = ["CLOSED", "SCHEDULES", "ScheduleFamily", "after_warmup", "past", "plateau", "run"]
