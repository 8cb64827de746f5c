"""Known differences between implementations, generated from what diagnosis finds."""

from .found import Found, found, measure
from .pairs import PAIRS, Pair

__all__ = ["PAIRS", "Found", "Pair", "found", "measure"]
