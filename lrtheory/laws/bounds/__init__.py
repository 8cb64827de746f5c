"""Bounds on one coordinate's step."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
