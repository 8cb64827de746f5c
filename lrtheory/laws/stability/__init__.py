"""Thresholds of stability."""

from ..law import Law
from . import cycle, minibatch, thresholds
from .closed_forms import Threshold, threshold

LAWS: tuple[Law, ...] = (*thresholds.LAWS, *minibatch.LAWS, *cycle.LAWS)

__all__ = ["LAWS", "Threshold", "threshold"]
