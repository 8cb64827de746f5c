"""Thresholds of stability."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
