"""Known differences between implementations, generated from what diagnosis finds."""

from .found import Found, found, measure
from .pair import Pair
from .pairs import PAIRS

__all__ = ["PAIRS", "Found", "Pair", "found", "measure"]
