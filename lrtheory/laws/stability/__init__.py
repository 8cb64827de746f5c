"""Thresholds of stability."""

from ...theory.stability import Threshold, threshold

PARTS = ("thresholds", "minibatch", "cycle")

__all__ = ["PARTS", "Threshold", "threshold"]
