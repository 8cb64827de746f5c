"""Bounds on one coordinate's step."""

from ...theory.bounds import *  # noqa: F403

PARTS = ("normalised", "box", "muon_band")
