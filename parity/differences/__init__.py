"""Known differences between implementations, generated from what diagnosis finds."""

from .found import PAIRS, Found, Pair, found, measure

__all__ = ["PAIRS", "Found", "Pair", "found", "measure"]
