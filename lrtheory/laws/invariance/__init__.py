"""Laws of scale-invariant weights."""

from ...theory.invariance import *  # noqa: F403

PARTS = ("length", "schedules", "balance", "conserved")
